"""python -m soli.train [overrides]: trains a captioner into a run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from soli.configuration import command, job_overrides, override_dirname
from soli.datasets import CaptionedImages, check_photographs, find_leaks
from soli.degradations import parse
from soli.evaluation import CaptionScorer
from soli.evaluation.ladder import climb
from soli.interfaces import CaptionDataset, SoliError
from soli.model import Captioner
from soli.runs import build_captioner, build_dataset, check_new, pick_device, read_config, runtime_settings, write_run
from soli.training.checkpoint import LAST, read_progress
from soli.training.loop import train
from soli.training.schedule import check_phases, parameter_groups
from soli.training.settings import (
    GenerationSettings,
    LoaderSettings,
    LoggingSettings,
    OptimizerSettings,
    Phase,
    Recipe,
    ValidationSettings,
    VocabularySettings,
)
from soli.vocabulary import Vocabulary


@command("train")
def main(config: DictConfig) -> None:
    resume = config.resume is not None
    folder = Path(config.resume or config.run_dir or default_run_dir())
    settings = _resumed(folder, config) if resume else config
    if resume and (folder / LAST).exists() and read_progress(folder / LAST).finished:
        print(f"The run {folder} is finished: there is nothing to resume.\nNext: python -m soli.evaluate run={folder}")
        return
    if not resume:
        check_new(folder)
    recipe = _recipe(settings)
    device = pick_device(recipe.runtime.device)

    dataset = build_dataset(settings)
    check_photographs([example for split in dataset.splits for example in dataset.examples(split)])
    if resume:
        vocabulary = Vocabulary.load(folder / "vocabulary.json")
    else:
        captions = (caption for example in dataset.examples("train") for caption in example.captions)
        vocabulary = Vocabulary.build(captions, VocabularySettings(**settings.vocabulary).min_count)
    torch.manual_seed(recipe.seed)  # the starting weights
    model = build_captioner(settings, vocabulary, new=not (folder / LAST).exists())
    _check_conditions(settings, recipe, dataset)
    check_phases(recipe.phases, model)
    for phase in recipe.phases.values():
        parameter_groups(model, phase, recipe.optimizer)
    data = CaptionedImages(dataset, "train", vocabulary, recipe.loader.max_tokens)
    validate = _validation(model, dataset, settings, recipe)
    if not resume:  # all that can be refused has been looked at: a folder that is begun is a run
        leaks = find_leaks(dataset)
        write_run(folder, config, vocabulary, {**_summary(dataset), "leaks": leaks})
        _announce(dataset, leaks, vocabulary, model, recipe)
    model.to(device).to(memory_format=torch.channels_last)
    progress = train(model, data, recipe, folder, validate, resume)
    best = f", best validation {recipe.validation.metric} {progress.best_score:.3f}" if progress.best_score is not None else ""
    print(f"Done: {progress.step} steps{best}. The run is in {folder}\nNext: python -m soli.evaluate run={folder}")


def default_run_dir() -> Path:
    """runs/<experiment>, or runs/<dataset>_<encoder>_<decoder>_<variant>, with what else was chosen or overridden appended."""
    choices = HydraConfig.get().runtime.choices
    named = ["experiment"] if choices.get("experiment") else ["dataset", "encoder", "decoder", "variant"]
    given = dict(override.partition("=")[::2] for override in job_overrides())
    others = [group for group in given if group in choices and group not in named]
    parts = [str(choices[group]) for group in [*named, *others]]
    return Path("runs") / "_".join([*parts, *filter(None, [override_dirname(job_overrides())])]).replace("/", "_")


def _resumed(folder: Path, config: DictConfig) -> dict[str, Any]:
    """The config that the run was started with; only `runtime` may be given anew."""
    given = job_overrides()
    others = [override for override in given if not override.startswith(("resume=", "runtime=", "runtime."))]
    if others:
        raise SoliError(f"resume={folder} continues with the run's own config: leave out {', '.join(others)}, or start a new run.")
    settings = read_config(folder)
    if any(override.startswith("runtime=") for override in given):
        return {**settings, "runtime": dict(config.runtime)}
    keys = [override.split("=")[0].removeprefix("runtime.") for override in given if override.startswith("runtime.")]
    return {**settings, "runtime": {**settings["runtime"], **{key: config.runtime[key] for key in keys}}}


def _recipe(settings: Any) -> Recipe:
    """The plain settings that the loop takes."""
    return Recipe(
        phases={name: Phase(**phase) for name, phase in settings["variant"]["phases"].items()},
        seed=settings["seed"],
        mode=settings["degradation"]["mode"],
        loader=LoaderSettings(**settings["loader"]),
        optimizer=OptimizerSettings(**settings["optimizer"]),
        validation=ValidationSettings(**settings["validation"]),
        logging=LoggingSettings(**settings["logging"]),
        runtime=runtime_settings(settings),
    )


def _check_conditions(settings: Any, recipe: Recipe, dataset: CaptionDataset) -> None:
    """Raises SoliError for a condition that does not parse, in the phases or in what evaluation will use."""
    for condition in [*settings["degradation"]["conditions"], *(name for phase in recipe.phases.values() for name in phase.conditions)]:
        parse(condition, recipe.mode, dataset.reference_side)


def _validation(model: Captioner, dataset: CaptionDataset, settings: Any, recipe: Recipe) -> Any:
    """A function that scores generated captions of the validation split's original photographs."""
    data = CaptionedImages(dataset, "val", model.tokenizer, recipe.loader.max_tokens)
    if recipe.validation.limit is not None:
        data = data.first(recipe.validation.limit)
    scorer = CaptionScorer([list(example.captions) for example in data.examples], metrics=("BLEU", "ROUGE-L", "CIDEr"))
    original = [parse("original", reference_side=dataset.reference_side)]
    runtime, generation = recipe.runtime, GenerationSettings(**settings["generation"])

    def validate() -> dict[str, float]:
        (rung,) = climb(
            model,
            data,
            original,
            recipe.validation.num_beams,
            generation.max_tokens,
            generation.length_penalty,
            generation.batch_size,
            runtime.workers,
            runtime.precision,
            progress=False,
        )
        return {**scorer.score(rung.captions), "distinct": len(set(rung.captions)) / len(rung.captions)}

    return validate


def _summary(dataset: CaptionDataset) -> dict[str, Any]:
    splits = {
        split: {"photographs": len(dataset.examples(split)), "captions": sum(len(example.captions) for example in dataset.examples(split))}
        for split in dataset.splits
    }
    return {"name": dataset.name, "splits": splits, "reference_side": dataset.reference_side, "notices": list(dataset.notices)}


def _announce(dataset: CaptionDataset, leaks: dict, vocabulary: Vocabulary, model: Captioner, recipe: Recipe) -> None:
    sizes = ", ".join(f"{split} {len(dataset.examples(split))}" for split in dataset.splits)
    print(f"Data: {dataset.name} ({sizes}), {len(vocabulary)} words")
    for notice in dataset.notices:
        print(f"  {notice}")
    for name, found in leaks.items():
        print(f"  leak check, {name.replace('_', ' ')}: {found['count'] if isinstance(found, dict) else found}")
    coverage = getattr(model.decoder, "glove_coverage", None)
    if coverage is not None:
        print(f"GloVe has {coverage:.1%} of the words")
    for part, module in model.named_children():
        millions = sum(parameter.numel() for parameter in module.parameters()) / 1e6
        print(f"{part.capitalize()}: {type(module).__name__}, {millions:.2f} M parameters")
    for name, phase in recipe.phases.items():
        trained = ", ".join(f"{module} (lr x {factor:g})" for module, factor in phase.train.items() if factor)
        losses = " + ".join(f"{weight:g} {loss}" for loss, weight in phase.losses.items() if weight)
        print(f"Phase {name}: {phase.epochs} epochs, trains {trained} under {losses}")


if __name__ == "__main__":
    main()
