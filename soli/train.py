"""python -m soli.train [overrides]: trains a captioner into a run folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from soli.bridge import load_pretrained
from soli.configuration import build, command, find_target, job_overrides, override_dirname
from soli.configuration.kinds import show as _show
from soli.datasets import CaptionedImages, check_photographs, find_leaks
from soli.degradations import parse
from soli.evaluation import CaptionScorer
from soli.evaluation.ladder import climb
from soli.interfaces import CaptionDataset, SoliError
from soli.model import Captioner
from soli.runs import (
    build_captioner,
    build_dataset,
    build_tokenizer,
    check_new,
    completed,
    has_part,
    load_tokenizer,
    pick_device,
    read_config,
    runtime_settings,
    start_from,
    write_run,
)
from soli.training.checkpoint import LAST, read_progress
from soli.training.loop import Validate, check_steps, train
from soli.training.processes import local_device, start
from soli.training.schedule import captioned_views, check_embedding_trains, check_phases, has, parameter_groups, phase_settings, with_epochs
from soli.training.settings import (
    GenerationSettings,
    LoaderSettings,
    LoggingSettings,
    OptimizerChanges,
    OptimizerSettings,
    Phase,
    Recipe,
    SiameseSettings,
    ValidationSettings,
)
from soli.training.siamese import Siamese
from soli.training.validation import validation_scores
from soli.vocabulary import Vocabulary


@command("train")
def main(config: DictConfig) -> None:
    resume = config.resume is not None
    folder = Path(config.resume or config.run_dir or default_run_dir())
    settings = _resumed(folder, config) if resume else OmegaConf.to_container(config, resolve=True)
    saved = resume and (folder / LAST).exists()
    if saved and read_progress(folder / LAST).finished:
        print(f"The run {folder} is finished: there is nothing to resume.\nNext: python -m soli.evaluate run={folder}")
        return
    if not resume:
        _check_replaced(settings)
        settings = completed(settings)
    recipe = _recipe(settings)
    losses = {loss for phase in recipe.phases.values() for loss in phase.losses if has(phase, loss)}
    if not _starts_trained(settings) and losses == {"contrastive"}:
        raise SoliError(
            "No phase has a caption loss: the decoder would know nothing. "
            "Start from a trained captioner with init_from=<run> or model.pretrained=<folder>."
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
    start_run = settings["init_from"]
    model = build_captioner(settings, tokenizer, new=not saved and start_run is None)
    if start_run is not None and not saved:
        start_from(start_run, model, settings)
    if settings["model"]["pretrained"] is not None and not saved:
        load_pretrained(settings["model"]["pretrained"], model)
    siamese = Siamese(build(settings["contrastive"]), build(settings["negatives"]))
    data = CaptionedImages(dataset, "train", tokenizer, recipe.loader.max_tokens)
    _check_recipe(settings, recipe, dataset, model)
    check_steps(recipe, len(data), siamese, accelerator.num_processes)
    validate = _validation(model, dataset, settings, recipe)
    if not resume and is_main:  # all that can be refused has been looked at: a folder that is begun is a run
        leaks = find_leaks(dataset)
        write_run(folder, settings, tokenizer, {**_summary(dataset), "leaks": leaks})
        _announce(dataset, leaks, model, recipe)
    model.to(device).to(memory_format=torch.channels_last)
    progress = train(model, data, recipe, folder, validate, resume, siamese)
    if is_main:
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
    """The config that the run was started with; only `runtime` may be given anew. What else is given must be as it was."""
    given = [override for override in job_overrides() if not override.startswith(("resume=", "runtime=", "runtime."))]
    settings = read_config(folder, key="resume")
    differing = [
        f"{key} was {_show(_at(settings, key))}, is {_show(_at(config, key))}"
        for override in given
        for key in _compared(override.partition("=")[0], settings)
        if not _agrees(key, _at(config, key), _at(settings, key))
    ]
    if differing:
        raise SoliError(
            f"resume={folder} continues with the run's own config, and {'; '.join(differing)}. Leave it out, or start a new run."
        )
    keys = [override.split("=")[0].removeprefix("runtime.") for override in job_overrides() if override.startswith("runtime.")]
    if any(override.startswith("runtime=") for override in job_overrides()):
        return {**settings, "runtime": OmegaConf.to_container(config.runtime)}
    return {**settings, "runtime": {**settings["runtime"], **{key: config.runtime[key] for key in keys}}}


def _compared(key: str, settings: Mapping[str, Any]) -> list[str]:
    """The keys that an override sets: itself, and of an experiment everything but what may change.

    Of an encoder or decoder that a pretrained model replaced, only the class can be compared.
    """
    if key in ("encoder", "decoder") and settings["model"]["pretrained"] is not None:
        return [f"{key}._target_"]
    return [name for name in settings if name not in ("runtime", "run_dir", "resume")] if key == "experiment" else [key]


def _agrees(key: str, given: Any, recorded: Any) -> bool:
    """Whether a value is as it was; of the choice of an encoder or decoder, but for what pretrained weights said of it."""
    if key in ("encoder", "decoder"):
        return all(
            value is None or (_agrees(key, value, recorded.get(name)) if isinstance(value, Mapping) else value == recorded.get(name))
            for name, value in given.items()
        )
    return given == recorded


def _at(config: Mapping[str, Any], key: str) -> Any:
    """The value at a dotted key, as plain containers."""
    value: Any = OmegaConf.to_container(config, resolve=True) if OmegaConf.is_config(config) else config
    for name in key.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _recipe(settings: Any) -> Recipe:
    """The plain settings that the loop takes."""
    attention_weight = find_target(settings["decoder"]["_target_"]).attention_weight
    return Recipe(
        phases=with_epochs(
            {name: _phase(phase, attention_weight) for name, phase in settings["variant"]["phases"].items()}, settings["epochs"]
        ),
        epochs=settings["epochs"],
        seed=settings["seed"],
        mode=settings["degradation"]["mode"],
        siamese=SiameseSettings(**settings["siamese"]).resolve(_starts_trained(settings) or bool(settings["encoder"].get("weights"))),
        loader=LoaderSettings(**settings["loader"]),
        optimizer=OptimizerSettings(**settings["optimizer"]),
        validation=ValidationSettings(**settings["validation"]),
        logging=LoggingSettings(**settings["logging"]),
        runtime=runtime_settings(settings),
    )


def _starts_trained(settings: Mapping[str, Any]) -> bool:
    """Whether the whole captioner has learnt something before."""
    return settings["init_from"] is not None or settings["model"]["pretrained"] is not None


def _check_replaced(settings: Mapping[str, Any]) -> None:
    """Raises SoliError for overrides of an encoder or decoder that `model.pretrained` would replace by one of another class."""
    source = settings["model"]["pretrained"]
    for part, kind, choice in (("encoder", "ViTEncoder", "vit_b16"), ("decoder", "GPT2Decoder", "gpt2")):
        given = [override for override in job_overrides() if override.startswith((f"{part}=", f"{part}."))]
        if source is not None and given and not has_part(settings, part):
            raise SoliError(
                f"{given[0]} is for a {settings[part]['_target_'].rpartition('.')[2]}, and model.pretrained={source} puts a {kind} there. "
                f"Leave it out, or choose {part}={choice} with {part}.weights=null{' decoder.tokenizer=null' if part == 'decoder' else ''} "
                "to set the keys of that one."
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
    """A function that scores generated captions of the validation split, and looks at its embeddings, under each condition."""
    data = CaptionedImages(dataset, "val", model.tokenizer, recipe.loader.max_tokens)
    if recipe.validation.limit is not None:
        data = data.first(recipe.validation.limit)
    scorer = CaptionScorer([list(example.captions) for example in data.examples], metrics=("BLEU", "ROUGE-L", "CIDEr"))
    degradations = [parse(name, recipe.mode, dataset.reference_side) for name in recipe.validation.conditions]
    runtime, generation = recipe.runtime, GenerationSettings(**settings["generation"])

    def validate(distance_at_start: float | None) -> dict[str, float]:
        rungs = climb(
            model,
            data,
            degradations,
            generation.batch_size,
            runtime.workers,
            runtime.precision,
            progress=False,
            num_beams=recipe.validation.num_beams,
            max_tokens=generation.max_tokens,
            min_tokens=generation.min_tokens,
            length_penalty=generation.length_penalty,
            no_repeat_ngram=generation.no_repeat_ngram,
        )
        scores = [scorer.score(rung.captions) for rung in rungs]
        return validation_scores(rungs, scores, recipe.validation.selected, distance_at_start)

    return validate


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
    for name, found in leaks.items():
        print(f"  leak check, {name.replace('_', ' ')}: {found['count'] if isinstance(found, dict) else found}")
    coverage = getattr(model.decoder, "glove_coverage", None)
    if coverage is not None:
        print(f"GloVe has {coverage:.1%} of the words")
    for notice in getattr(model.decoder, "notices", ()):
        print(f"Decoder: {notice}")
    for part, module in model.named_children():
        millions = sum(parameter.numel() for parameter in module.parameters()) / 1e6
        print(f"{part.capitalize()}: {type(module).__name__}, {millions:.2f} M parameters")
    _announce_phases(recipe)


def _announce_phases(recipe: Recipe) -> None:
    """What each phase trains, under which losses, and a hint where the default weights do not suit the start."""
    for name, phase in recipe.phases.items():
        factors = {module: factor * recipe.optimizer.factor(module) for module, factor in phase.train.items() if factor}
        trained = ", ".join(f"{module} (lr x {factor:g})" for module, factor in factors.items())
        losses = " + ".join(f"{weight:g} {loss}" for loss, weight in phase.losses.items() if weight)
        captioned = f" (captions of {' and '.join(captioned_views(phase))})" if captioned_views(phase) else ""
        anchor = f"; {recipe.siamese.anchor} anchor" if has(phase, "contrastive") else ""
        print(f"Phase {name}: {phase.epochs} epochs, trains {trained} under {losses}{captioned}{anchor}")
        if has(phase, "contrastive") and has(phase, "caption") and recipe.siamese.anchor == "shared" and phase.losses["contrastive"] > 1:
            print("  A contrastive weight above 1 is for a frozen anchor (init_from=<run>); a shared one wants 1, or 0.1 from scratch.")


if __name__ == "__main__":
    main()
