"""python -m soli.train [overrides]: trains a captioner into a run folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from soli.configuration import build, command, find_target, job_overrides, override_dirname
from soli.datasets import CaptionedImages, check_photographs, find_leaks
from soli.degradations import Degradation, parse
from soli.evaluation import CaptionScorer
from soli.evaluation.ladder import climb
from soli.evaluation.retrieval_ladder import match_ladder
from soli.feature_cache import FeatureCache
from soli.interfaces import CaptionDataset, SoliError
from soli.model import Captioner
from soli.resuming import resumed_settings
from soli.runs import (
    build_captioner,
    build_dataset,
    build_tokenizer,
    check_new,
    load_tokenizer,
    pick_device,
    runtime_settings,
    write_run,
)
from soli.starting import check_replaced, completed, load_start, starts_trained
from soli.training.checkpoint import LAST, read_progress
from soli.training.loop import Validate, check_steps, train
from soli.training.matching import Matching
from soli.training.processes import local_device, start
from soli.training.schedule import (
    captioned_views,
    check_embedding_trains,
    check_phases,
    has,
    matched_views,
    parameter_groups,
    phase_settings,
    with_epochs,
)
from soli.training.settings import (
    FeatureSettings,
    GenerationSettings,
    LoaderSettings,
    LoggingSettings,
    MatchingSettings,
    OptimizerChanges,
    OptimizerSettings,
    Phase,
    Recipe,
    SiameseSettings,
    SpectralSettings,
    ValidationSettings,
)
from soli.training.siamese import Siamese
from soli.training.validation import retrieval_scores, validation_scores
from soli.vocabulary import Vocabulary


@command("train")
def main(config: DictConfig) -> None:
    resume = config.resume is not None
    folder = Path(config.resume or config.run_dir or default_run_dir())
    settings = resumed_settings(folder, config) if resume else OmegaConf.to_container(config, resolve=True)
    saved = resume and (folder / LAST).exists()
    if saved and read_progress(folder / LAST).finished:
        print(f"The run {folder} is finished: there is nothing to resume.\nNext: python -m soli.evaluate run={folder}")
        return
    if not resume:
        check_replaced(settings)
        settings = completed(settings)
    recipe = _recipe(settings)
    losses = {loss for phase in recipe.phases.values() for loss in phase.losses if has(phase, loss)}
    if not starts_trained(settings) and losses == {"contrastive"}:
        raise SoliError(
            "No phase has a caption loss: the decoder would know nothing. "
            "Start from a trained captioner with init_from=<run> or model.pretrained=<folder>."
        )
    if settings["decoder"].get("train", "all") != "all" and settings["decoder"]["weights"] is None and not starts_trained(settings):
        raise SoliError(
            f"decoder.train={settings['decoder']['train']} leaves the rest of the decoder as it is, which would be random: "
            "give decoder.weights, model.pretrained or init_from."
        )
    device = local_device(pick_device(recipe.runtime.device))
    accelerator = start(device, recipe.runtime.precision)
    is_main = accelerator.is_main_process
    if not resume and is_main:
        check_new(folder)

    dataset = build_dataset(settings)
    check_photographs([example for split in dataset.splits for example in dataset.examples(split)])
    captions = (caption for example in dataset.examples("train") for caption in example.captions)
    tokenizer = load_tokenizer(folder) if resume else build_tokenizer(settings, captions)
    torch.manual_seed(recipe.seed)  # the starting weights
    model = build_captioner(settings, tokenizer, new=not saved and settings["init_from"] is None)
    if not saved:
        load_start(model, settings)
    siamese = Siamese(build(settings["contrastive"]), build(settings["negatives"]))
    matching = Matching(build(settings["matching"]["loss"]), build(settings["matching"]["negatives"]), recipe.matching)
    data = CaptionedImages(dataset, "train", tokenizer, recipe.loader.max_tokens)
    _check_recipe(settings, recipe, dataset, model)
    check_steps(recipe, len(data), siamese, accelerator.num_processes, matching)
    validate = _validation(model, dataset, settings, recipe)
    if not resume and is_main:  # all that can be refused has been looked at: a folder that is begun is a run
        leaks = find_leaks(dataset)
        write_run(folder, settings, tokenizer, {**_summary(dataset), "leaks": leaks})
        _announce(dataset, leaks, model, recipe)
    model.to(device).to(memory_format=torch.channels_last)
    progress = train(model, data, recipe, folder, validate, resume, siamese, matching)
    if is_main:
        best = f", best validation {recipe.validation.metric} {progress.best_score:.3f}" if progress.best_score is not None else ""
        retrieval = " metrics=retrieval" if recipe.validation.metric == "rsum" else ""
        print(f"Done: {progress.step} steps{best}. The run is in {folder}\nNext: python -m soli.evaluate run={folder}{retrieval}")


def default_run_dir() -> Path:
    """runs/<experiment>, or runs/<dataset>_<encoder>_<decoder>_<variant>, with what else was chosen or overridden appended."""
    choices = HydraConfig.get().runtime.choices
    named = ["experiment"] if choices.get("experiment") else ["dataset", "encoder", "decoder", "variant"]
    given = dict(override.partition("=")[::2] for override in job_overrides())
    others = [group for group in given if group in choices and group not in named]
    parts = [str(choices[group]) for group in [*named, *others]]
    return Path("runs") / "_".join([*parts, *filter(None, [override_dirname(job_overrides())])]).replace("/", "_")


def _recipe(settings: Any) -> Recipe:
    """The plain settings that the loop takes."""
    attention_weight = find_target(settings["decoder"]["_target_"]).attention_weight
    phases = {name: _phase(phase, attention_weight) for name, phase in settings["variant"]["phases"].items()}
    validation = ValidationSettings(**settings["validation"])
    captions = any(has(phase, "caption", "attention", "contrastive") for phase in phases.values())
    return Recipe(
        phases=with_epochs(phases, settings["epochs"]),
        epochs=settings["epochs"],
        seed=settings["seed"],
        mode=settings["degradation"]["mode"],
        siamese=SiameseSettings(**settings["siamese"]).resolve(starts_trained(settings) or bool(settings["encoder"].get("weights"))),
        matching=MatchingSettings(**{key: settings["matching"][key] for key in ("siblings", "num_captions")}),
        spectral=SpectralSettings(**settings["spectral"]),
        features=FeatureSettings(**settings["features"]),
        loader=LoaderSettings(**settings["loader"]),
        optimizer=OptimizerSettings(**settings["optimizer"]),
        validation=replace(validation, metric="CIDEr" if captions else "rsum") if validation.metric == "auto" else validation,
        logging=LoggingSettings(**settings["logging"]),
        runtime=runtime_settings(settings),
    )


def _phase(phase: Mapping[str, Any], attention_weight: float) -> Phase:
    """The phase; an attention loss without a weight gets the decoder's own."""
    losses = {loss: attention_weight if loss == "attention" and weight is None else weight for loss, weight in phase["losses"].items()}
    return Phase(**{**phase, "losses": losses, "optimizer": OptimizerChanges(**(phase.get("optimizer") or {}))})


def _check_recipe(settings: Any, recipe: Recipe, dataset: CaptionDataset, model: Captioner) -> None:
    """Raises SoliError for all that cannot be trained: conditions that do not parse, and phases."""
    check_phases(recipe.phases, model, recipe.optimizer.factors)
    conditions = [name for phase in recipe.phases.values() for view in phase.views.values() for name in view]
    for condition in [*settings["degradation"]["conditions"], *recipe.validation.conditions, *conditions]:
        parse(condition, recipe.mode, dataset.reference_side)
    places = getattr(model.decoder, "max_positions", None)
    for key in ("loader", "generation"):
        if places is not None and settings[key]["max_tokens"] > places:
            raise SoliError(
                f"{key}.max_tokens={settings[key]['max_tokens']} is more than decoder.architecture.n_positions={places}: lower it."
            )
    for phase in recipe.phases.values():
        parameter_groups(model, phase, phase_settings(recipe.optimizer, phase))
        check_embedding_trains(model, phase)


def _validation(model: Captioner, dataset: CaptionDataset, settings: Any, recipe: Recipe) -> Validate:
    """A function that scores the validation split under each condition: generated captions and embeddings, and retrieval.

    Captions are not generated where nothing but matching is trained.
    """
    data = CaptionedImages(dataset, "val", model.tokenizer, recipe.loader.max_tokens)
    if recipe.validation.limit is not None:
        data = data.first(recipe.validation.limit)
    degradations = [parse(name, recipe.mode, dataset.reference_side) for name in recipe.validation.conditions]
    if recipe.validation.metric == "rsum" and model.matcher is None:
        raise SoliError("validation.metric=rsum is of retrieval, and no phase matches captions with photographs: choose auto.")
    if not any(has(phase, "caption", "attention", "contrastive") for phase in recipe.phases.values()):
        return lambda _: _retrieval(model, data, degradations, recipe)
    scorer = CaptionScorer([list(example.captions) for example in data.examples], metrics=("BLEU", "ROUGE-L", "CIDEr"))
    runtime, generation = recipe.runtime, GenerationSettings(**settings["generation"])
    neutral = {name: getattr(GenerationSettings(), name) for name in generation.filters}
    search = asdict(replace(generation, num_beams=recipe.validation.num_beams, sample=False, **neutral))

    def validate(distance_at_start: float | None) -> dict[str, float]:
        rungs = climb(
            model,
            data,
            degradations,
            workers=runtime.workers,
            precision=runtime.precision,
            progress=False,
            **search,
        )
        scores = [scorer.score(rung.captions) for rung in rungs]
        report = validation_scores(rungs, scores, recipe.validation.selected, distance_at_start)
        return report if model.matcher is None else {**report, **_retrieval(model, data, degradations, recipe)}

    return validate


def _retrieval(model: Captioner, data: CaptionedImages, degradations: Sequence[Degradation], recipe: Recipe) -> dict[str, float]:
    """The scores of retrieval on `data`; features that an encoder makes which never trains come from the cache."""
    trained = {name.partition(".")[0] for phase in recipe.phases.values() for name, factor in phase.train.items() if factor}
    if recipe.features.cache is not None and "encoder" not in trained:
        cache = FeatureCache(Path(recipe.features.cache), model, recipe.features.dtype, recipe.runtime.precision)
        cache.ensure(data, degradations)
        places = {degradation.spec: _joint(model, data, degradation, cache) for degradation in degradations}
    else:
        rungs = match_ladder(model, data, degradations, workers=recipe.runtime.workers, precision=recipe.runtime.precision, progress=False)
        places = {rung.condition: rung.embeddings for rung in rungs}
    captions = [caption for example in data.examples for caption in example.captions]
    owner = [index for index, example in enumerate(data.examples) for _ in example.captions]
    return retrieval_scores(places, model.joint_captions(captions, recipe.loader.max_tokens), owner, recipe.validation.selected)


@torch.inference_mode()
def _joint(model: Captioner, data: CaptionedImages, degradation: Degradation, cache: FeatureCache) -> Tensor:
    """The photographs (M, E) in the joint space, from their kept features."""
    examples, parts = data.examples, []
    for first in range(0, len(examples), 256):
        some = examples[first : first + 256]
        parts.append(model.matcher.images(cache.features(some, [degradation] * len(some)).to(model.device)).cpu())
    return torch.cat(parts)


def _summary(dataset: CaptionDataset) -> dict[str, Any]:
    splits = {
        split: {"photographs": len(dataset.examples(split)), "captions": sum(len(example.captions) for example in dataset.examples(split))}
        for split in dataset.splits
    }
    return {"name": dataset.name, "splits": splits, "reference_side": dataset.reference_side, "notices": list(dataset.notices)}


def _announce(dataset: CaptionDataset, leaks: dict, model: Captioner, recipe: Recipe) -> None:
    sizes = ", ".join(f"{split} {len(dataset.examples(split))}" for split in dataset.splits)
    print(f"Data: {dataset.name} ({sizes}), {len(model.tokenizer)} {'words' if isinstance(model.tokenizer, Vocabulary) else 'tokens'}")
    for notice in dataset.notices:
        print(f"  {notice}")
    unknown = _share_unknown(dataset, model)
    if unknown > 0.05:
        print(f"  {unknown:.0%} of the words of the training captions are not among these words: they are learnt as <unk>")
    for name, found in leaks.items():
        print(f"  leak check, {name.replace('_', ' ')}: {found['count'] if isinstance(found, dict) else found}")
    for part in (model.decoder, getattr(model.matcher, "text_encoder", None)):
        if getattr(part, "glove_coverage", None) is not None:
            print(f"GloVe has {part.glove_coverage:.1%} of the words of the {type(part).__name__}")
    for notice in getattr(model.decoder, "notices", ()):
        print(f"Decoder: {notice}")
    for part, module in model.named_children():
        millions = sum(parameter.numel() for parameter in module.parameters()) / 1e6
        print(f"{part.capitalize()}: {type(module).__name__}, {millions:.2f} M parameters")
    _announce_phases(recipe, model)


def _share_unknown(dataset: CaptionDataset, model: Captioner) -> float:
    """Of the first thousand photographs' words, those that the vocabulary does not have; 0 for pieces of words."""
    if not isinstance(model.tokenizer, Vocabulary):
        return 0.0
    captions = [caption for example in dataset.examples("train")[:1000] for caption in example.captions]
    ids = [word for caption in captions for word in model.tokenizer.encode(caption)[1:-1]]
    return ids.count(model.tokenizer.unk_id) / max(len(ids), 1)


def _announce_phases(recipe: Recipe, model: Captioner) -> None:
    """What each phase trains, under which losses, and a hint where the default weights do not suit the start."""
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
        print(f"Phase {name}: {phase.epochs} epochs, trains {trained} under {losses}{captioned}{anchor}")
        if has(phase, "contrastive") and has(phase, "caption") and recipe.siamese.anchor == "shared" and phase.losses["contrastive"] > 1:
            print("  A contrastive weight above 1 is for a frozen anchor (init_from=<run>); a shared one wants 1, or 0.1 from scratch.")


if __name__ == "__main__":
    main()
