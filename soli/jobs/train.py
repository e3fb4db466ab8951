"""What soli.train does: a captioner is trained into a run folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from soli.configuration import build, find_target, job_overrides, override_dirname
from soli.configuration.command_text import setting
from soli.datasets import CaptionedImages, data_fingerprint, find_leaks
from soli.degradations import Degradation, parse
from soli.feature_cache import make_folder
from soli.interfaces import SoliError
from soli.jobs.announcing import announce, announce_steps, summary
from soli.jobs.new_folder import check_run_dir
from soli.jobs.next_steps import say_next
from soli.jobs.resuming import resumed_settings
from soli.jobs.same_data import say_of_data
from soli.jobs.sizes import check_splits
from soli.jobs.starting import check_replaced, completed, load_start, starts_trained, starts_with_captions
from soli.jobs.validating import validation
from soli.model import Captioner
from soli.runs import (
    build_captioner,
    build_dataset,
    build_tokenizer,
    load_tokenizer,
    pick_device,
    runtime_settings,
    write_run,
)
from soli.training.checkpoint import LAST, read_progress
from soli.training.endings import interruptible
from soli.training.leftovers import check_last, is_finished, remove_unfinished
from soli.training.lock import RunLock
from soli.training.loop import train
from soli.training.matching import Matching, keys_of_matching
from soli.training.preparing import check_steps, prepare_negatives
from soli.training.processes import local_device, start
from soli.training.schedule import (
    check_embedding_trains,
    check_phases,
    check_weights,
    has,
    parameter_groups,
    phase_settings,
    trained_parts,
    with_epochs,
)
from soli.training.settings import (
    FeatureSettings,
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


def main(config: DictConfig) -> None:
    """Trains alone in the run folder: the first process of the training holds its lock until the end."""
    with RunLock() as lock:
        _main(config, lock)


def _main(config: DictConfig, lock: RunLock) -> None:
    resume = config.resume is not None
    folder = Path(config.resume or config.run_dir or default_run_dir())
    settings = resumed_settings(folder, config) if resume else OmegaConf.to_container(config, resolve=True)
    if resume and is_finished(folder):
        print(f"The run {folder} is finished: there is nothing to resume.")
        say_next("evaluate", setting("run", folder))
        return
    if not resume:
        check_replaced(settings)
        settings = completed(settings)
    recipe = _recipe(settings)
    losses = {loss for phase in recipe.phases.values() for loss in phase.losses if has(phase, loss)}
    if not starts_with_captions(settings) and losses and losses <= {"contrastive", "spectral"}:
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
        check_run_dir(folder, recipe.features.cache)
    if resume and is_main:
        take_over(folder, lock)
    saved = resume and (folder / LAST).exists()

    dataset = build_dataset(settings)
    check_splits(dataset, _conditions(settings, recipe, dataset.reference_side))
    captions = (caption for example in dataset.examples("train") for caption in example.captions)
    tokenizer = load_tokenizer(folder) if resume else build_tokenizer(settings, captions)
    torch.manual_seed(recipe.seed)  # the starting weights
    model = build_captioner(settings, tokenizer, new=not saved and settings["init_from"] is None)
    if not saved:
        load_start(model, settings)
    siamese = Siamese(build(settings["contrastive"]), build(settings["negatives"]))
    matching = _matching(settings, recipe)
    data = CaptionedImages(dataset, "train", tokenizer, recipe.loader.max_tokens)
    _check_recipe(settings, recipe, model)
    check_steps(recipe, len(data), siamese, accelerator.num_processes, matching)
    prepare_negatives(recipe, data, siamese, matching)
    validate = validation(model, dataset, settings, recipe)
    if recipe.features.cache is not None:
        make_folder(Path(recipe.features.cache))
    if is_main:
        described = data_fingerprint(dataset)
        if resume or settings["init_from"] is not None:
            say_of_data(folder if resume else settings["init_from"], described)
    if not resume and is_main:  # all that can be refused has been looked at: a folder that is begun is a run
        leaks = find_leaks(dataset)
        lock.take(folder)
        write_run(folder, settings, tokenizer, {**summary(dataset), "leaks": leaks, "fingerprint": described}, device)
        announce(dataset, leaks, model, recipe, {"contrastive": siamese, "matching": matching}, _sees_at_random(settings, recipe))
    if is_main:
        done = read_progress(folder / LAST).step if saved else 0
        announce_steps(recipe, len(data), folder, device, accelerator.num_processes, done)
    with interruptible(folder):
        model.to(device).to(memory_format=torch.channels_last)
        progress = train(model, data, recipe, folder, validate, resume, siamese, matching)
    if is_main:
        best = f", best validation {recipe.validation.metric} {progress.best_score:.3f}" if progress.best_score is not None else ""
        print(f"Done: {progress.step} steps{best}. The run is in {folder}")
        say_next("evaluate", setting("run", folder), *(["metrics=retrieval"] if recipe.validation.metric == "rsum" else []))


def take_over(folder: Path, lock: RunLock) -> None:
    """Locks a run that is resumed, and sees to what a killed training has left. Raises SoliError where that is not enough to go on."""
    lock.take(folder)
    check_last(folder)
    remove_unfinished(folder)
    if not (folder / LAST).exists():
        print(f"No checkpoint was saved in {folder} yet: training begins at its start.")


def _sees_at_random(settings: Any, recipe: Recipe) -> bool:
    """Whether the encoder starts from random weights, and no phase trains it."""
    return not (starts_trained(settings) or settings["encoder"].get("weights") or "encoder" in trained_parts(recipe.phases))


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
    for name, phase in phases.items():
        check_weights(f"variant.phases.{name}.losses", phase.losses)
    validation = ValidationSettings(**settings["validation"])
    about_captions = ("caption", "attention", *(["contrastive"] if starts_with_captions(settings) else []))
    captions = any(has(phase, *about_captions) for phase in phases.values())
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


def _matching(settings: Any, recipe: Recipe) -> Matching:
    """The matching term. Raises SoliError for impossible values, by the keys that they have there."""
    with keys_of_matching():
        return Matching(build(settings["matching"]["loss"]), build(settings["matching"]["negatives"]), recipe.matching)


def _phase(phase: Mapping[str, Any], attention_weight: float) -> Phase:
    """The phase; an attention loss without a weight gets the decoder's own."""
    losses = {loss: attention_weight if loss == "attention" and weight is None else weight for loss, weight in phase["losses"].items()}
    return Phase(**{**phase, "losses": losses, "optimizer": OptimizerChanges(**(phase.get("optimizer") or {}))})


def _conditions(settings: Any, recipe: Recipe, reference_side: int | None) -> dict[str, list[Degradation]]:
    """Under which conditions each split will be seen. Raises SoliError for those that do not parse, and for none in evaluation."""
    names = {
        "train": [name for phase in recipe.phases.values() for view in phase.views.values() for name in view],
        "val": recipe.validation.conditions,
        "test": settings["degradation"]["conditions"],
    }
    if not names["test"]:
        raise SoliError("degradation.conditions is empty, and evaluation looks at these: name at least one, for example [original].")
    return {split: [parse(name, recipe.mode, reference_side) for name in dict.fromkeys(of_split)] for split, of_split in names.items()}


def _check_recipe(settings: Any, recipe: Recipe, model: Captioner) -> None:
    """Raises SoliError for phases that cannot be trained."""
    check_phases(recipe.phases, model, recipe.optimizer.factors)
    places = getattr(model.decoder, "max_positions", None)
    for key in ("loader", "generation"):
        if places is not None and settings[key]["max_tokens"] > places:
            raise SoliError(
                f"{key}.max_tokens={settings[key]['max_tokens']} is more than decoder.architecture.n_positions={places}: lower it."
            )
    longest = getattr(getattr(model.matcher, "text_encoder", None), "max_tokens", None)
    if longest is not None and recipe.loader.max_tokens > longest:
        raise SoliError(f"loader.max_tokens={recipe.loader.max_tokens} is more than text_encoder.max_tokens={longest}: lower it.")
    for name, phase in recipe.phases.items():
        try:
            optimizer = phase_settings(recipe.optimizer, phase)
        except SoliError as reason:
            raise SoliError(f"variant.phases.{name}.{reason}") from reason
        parameter_groups(model, phase, optimizer)
        check_embedding_trains(model, phase)
