"""From a command's config to the plain settings that the loop takes, and whether these can be trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from soli.configuration import build, find_target
from soli.degradations import Degradation, parse
from soli.interfaces import SoliError
from soli.jobs.starting import starts_trained, starts_with_captions
from soli.model import Captioner
from soli.runs import runtime_settings
from soli.training.matching import Matching, keys_of_matching
from soli.training.schedule import check_embedding_trains, check_phases, check_weights, has, parameter_groups, phase_settings, with_epochs
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


def make_recipe(settings: Any) -> Recipe:
    """The plain settings that the loop takes. Raises SoliError for impossible values."""
    phases = phases_of(settings)
    return Recipe(
        phases=phases,
        epochs=settings["epochs"],
        seed=settings["seed"],
        mode=settings["degradation"]["mode"],
        siamese=SiameseSettings(**settings["siamese"]).resolve(starts_trained(settings) or bool(settings["encoder"].get("weights"))),
        matching=MatchingSettings(**{key: settings["matching"][key] for key in ("siblings", "num_captions")}),
        spectral=SpectralSettings(**settings["spectral"]),
        features=FeatureSettings(**settings["features"]),
        loader=LoaderSettings(**settings["loader"]),
        optimizer=OptimizerSettings(**settings["optimizer"]),
        validation=replace(ValidationSettings(**settings["validation"]), metric=selecting_metric(settings, phases)),
        logging=LoggingSettings(**settings["logging"]),
        runtime=runtime_settings(settings),
    )


def phases_of(settings: Any) -> dict[str, Phase]:
    """The phases of a variant with all their epochs. Raises SoliError for impossible ones."""
    attention_weight = find_target(settings["decoder"]["_target_"]).attention_weight
    phases = {name: make_phase(phase, attention_weight) for name, phase in settings["variant"]["phases"].items()}
    for name, phase in phases.items():
        check_weights(f"variant.phases.{name}.losses", phase.losses)
    return with_epochs(phases, settings["epochs"])


def selecting_metric(settings: Any, phases: Mapping[str, Phase]) -> str:
    """The score that selects the best checkpoint: of captions, unless nothing but matching is learnt."""
    if settings["validation"]["metric"] != "auto":
        return settings["validation"]["metric"]
    about_captions = ("caption", "attention", *(["contrastive"] if starts_with_captions(settings) else []))
    return "CIDEr" if any(has(phase, *about_captions) for phase in phases.values()) else "rsum"


def make_matching(settings: Any, recipe: Recipe) -> Matching:
    """The matching term. Raises SoliError for impossible values, by the keys that they have there."""
    with keys_of_matching():
        return Matching(build(settings["matching"]["loss"]), build(settings["matching"]["negatives"]), recipe.matching)


def make_phase(phase: Mapping[str, Any], attention_weight: float) -> Phase:
    """The phase; an attention loss without a weight gets the decoder's own."""
    losses = {loss: attention_weight if loss == "attention" and weight is None else weight for loss, weight in phase["losses"].items()}
    return Phase(**{**phase, "losses": losses, "optimizer": OptimizerChanges(**(phase.get("optimizer") or {}))})


def seen_conditions(settings: Any, recipe: Recipe, reference_side: int | None) -> dict[str, list[Degradation]]:
    """Under which conditions each split will be seen. Raises SoliError for those that do not parse, and for none in evaluation."""
    names = {
        "train": [name for phase in recipe.phases.values() for view in phase.views.values() for name in view],
        "val": recipe.validation.conditions,
        "test": settings["degradation"]["conditions"],
    }
    if not names["test"]:
        raise SoliError("degradation.conditions is empty, and evaluation looks at these: name at least one, for example [original].")
    return {split: [parse(name, recipe.mode, reference_side) for name in dict.fromkeys(of_split)] for split, of_split in names.items()}


def check_decoder_learns(settings: Any, phases: Mapping[str, Phase]) -> None:
    """Raises SoliError where the decoder would stay random, or most of it."""
    losses = {loss for phase in phases.values() for loss in phase.losses if has(phase, loss)}
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


def check_recipe(settings: Any, recipe: Recipe, model: Captioner) -> None:
    """Raises SoliError for phases that cannot be trained with this model, and for texts that are too long for it."""
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
