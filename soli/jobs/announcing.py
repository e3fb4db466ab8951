"""What soli.train prints when a run begins: the data and their leaks, the model, the phases, the steps and where they are taken."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from soli.datasets import about_shrunk, missing_reference_side, usual_side
from soli.interfaces import CaptionDataset, Negatives
from soli.model import Captioner
from soli.printing import printable
from soli.training.matching import Matching
from soli.training.schedule import captioned_views, has, matched_views, parameter_groups, phase_settings
from soli.training.settings import Recipe
from soli.training.siamese import Siamese
from soli.vocabulary import Vocabulary

FEW = 10  # photographs in validation: CIDEr weighs words by how many of them have each


def summary(dataset: CaptionDataset) -> dict[str, Any]:
    """What a run folder says of its data."""
    splits = {
        split: {"photographs": len(dataset.examples(split)), "captions": sum(len(example.captions) for example in dataset.examples(split))}
        for split in dataset.splits
    }
    return {"name": dataset.name, "splits": splits, "reference_side": dataset.reference_side, "notices": list(dataset.notices)}


def announce(
    dataset: CaptionDataset,
    leaks: dict,
    model: Captioner,
    recipe: Recipe,
    terms: Mapping[str, Siamese | Matching],
    hints: Sequence[str],
) -> None:
    """Prints what a run begins with: the data, the model and the phases; `terms` are those on embeddings, by loss, `hints` sentences."""
    sizes = ", ".join(f"{split} {len(dataset.examples(split))}" for split in dataset.splits)
    words = "words" if isinstance(model.tokenizer, Vocabulary) else "tokens"
    print(f"Data: {printable(dataset.name)} ({sizes}), {len(model.tokenizer)} {words}")
    for notice in dataset.notices:
        print(f"  {printable(notice)}")
    if (longer_side := missing_reference_side(dataset)) is not None:
        print(f"  {about_shrunk(longer_side)}")
    if dataset.reference_side is not None and (usual := usual_side(dataset)) is not None and usual > dataset.reference_side:
        print(f"  dataset.reference_side={dataset.reference_side} is less than the photographs' own longer side ({usual} pixels):")
        print("  it is to be that of the originals, from which they were shrunk.")
    if "test" not in dataset.splits:
        print("  no photograph is in the split test: evaluate with split=val")
    num_validated = min(len(dataset.examples("val")), recipe.validation.limit or math.inf)
    if num_validated < FEW and recipe.validation.metric == "CIDEr":
        print(
            f"  validation has {_counted(num_validated, 'photograph')}: a CIDEr of so few says little, and of one it is always 0 "
            "(in captions of your own a column split gives it more)"
        )
    unknown = _share_unknown(dataset, model)
    if unknown > 0.05:
        print(f"  {unknown:.0%} of the words of the training captions are not among these words: they are learnt as <unk>")
    counts = {name.replace("_", " "): found["count"] if isinstance(found, dict) else found for name, found in leaks.items()}
    print(f"  leak check: {', '.join(f'{name} {count:,}' for name, count in counts.items())}")
    for part in (model.decoder, getattr(model.matcher, "text_encoder", None)):
        if getattr(part, "glove_coverage", None) is not None:
            print(f"GloVe has {part.glove_coverage:.1%} of the words of the {type(part).__name__}")
    for notice in getattr(model.decoder, "notices", ()):
        print(f"Decoder: {printable(notice)}")
    for part, module in model.named_children():
        millions = sum(parameter.numel() for parameter in module.parameters()) / 1e6
        if millions:  # a projector may be nothing
            print(f"{part.capitalize()}: {type(module).__name__}, {millions:.2f} M parameters")
    _announce_phases(recipe, model, terms, math.ceil(len(dataset.examples("train")) / recipe.loader.batch_size))
    for hint in hints:
        print(f"  {hint}")


def announce_steps(recipe: Recipe, num_photographs: int, folder: Path, device: torch.device, num_processes: int, done: int) -> None:
    """Prints how many steps there are, of which `done` ones were done before, where and how they are computed, and where the run goes."""
    epoch = math.ceil(num_photographs / recipe.loader.batch_size)
    total = epoch * sum(phase.epochs for phase in recipe.phases.values())
    limit = recipe.runtime.max_steps
    stop = f", ending after {limit} (runtime.max_steps)" if limit is not None and limit < total else ""
    print(f"Steps: {total} of up to {recipe.loader.batch_size} photographs, {epoch} an epoch{stop}{f'; {done} are done' if done else ''}")
    kind = f"{device} ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else str(device)
    shared = f" in each of {num_processes} processes" if num_processes > 1 else ""
    workers = f", {recipe.runtime.workers} decoding photographs" if recipe.runtime.workers else ""
    print(f"Device: {kind}, {recipe.runtime.precision}, {_counted(torch.get_num_threads(), 'thread')}{shared}{workers}")
    print(f"Run folder: {printable(folder)}", flush=True)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _share_unknown(dataset: CaptionDataset, model: Captioner) -> float:
    """Of the first thousand photographs' words, those that the vocabulary does not have; 0 for pieces of words."""
    if not isinstance(model.tokenizer, Vocabulary):
        return 0.0
    captions = [caption for example in dataset.examples("train")[:1000] for caption in example.captions]
    ids = [word for caption in captions for word in model.tokenizer.encode(caption)[1:-1]]
    return ids.count(model.tokenizer.unk_id) / max(len(ids), 1)


def _announce_phases(recipe: Recipe, model: Captioner, terms: Mapping[str, Siamese | Matching], steps: int) -> None:
    """What each phase trains, under which losses, and hints where settings do not suit the start; `steps` are those of an epoch."""
    for name, phase in recipe.phases.items():
        groups = parameter_groups(model, phase, phase_settings(recipe.optimizer, phase))
        counts = Counter({module: 0 for module, factor in phase.train.items() if factor and module != "projector"})
        for group in groups:
            counts[group["name"]] += sum(parameter.numel() for parameter in group["params"])
        factors = {module: phase.train[module] * recipe.optimizer.factor(module) for module in counts}
        trained = ", ".join(f"{module} ({counts[module] / 1e6:.2f} M parameters, lr x {factor:g})" for module, factor in factors.items())
        losses = " + ".join(f"{weight:g} {loss}" for loss, weight in phase.losses.items() if weight)
        captioned = f" (captions of {' and '.join(captioned_views(phase))})" if captioned_views(phase) else ""
        captioned += f" (matching of {' and '.join(matched_views(phase))})" if matched_views(phase) else ""
        anchor = f"; {recipe.siamese.anchor} anchor" if has(phase, "contrastive") else ""
        print(f"Phase {name}: {_counted(phase.epochs, 'epoch')}, trains {trained} under {losses}{captioned}{anchor}")
        for loss, term in terms.items():
            if has(phase, loss):
                _announce_negatives(loss, term.negatives, steps * phase.epochs)
        if has(phase, "contrastive") and has(phase, "caption") and recipe.siamese.anchor == "shared" and phase.losses["contrastive"] > 1:
            print("  A contrastive weight above 1 is for a frozen anchor (init_from=<run>); a shared one wants 1, or 0.1 from scratch.")


def _announce_negatives(loss: str, negatives: Negatives, steps: int) -> None:
    """What is particular about the negatives of a loss, in a phase of so many steps."""
    if hasattr(negatives, "notice"):
        print(f"  Negatives of the {loss} loss: {negatives.notice}")
    warmup = getattr(negatives, "warmup_steps", 0)
    if warmup:
        advice = ": lower matching.negatives.warmup_steps" if 2 * warmup > steps else ""
        print(f"  In the first {min(warmup, steps)} of its {steps} steps all others of a step are negatives, not the hardest{advice}")
