"""A variant as data: phases in order, what each trains and under which losses. What a phase does not name is frozen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, replace

import torch
from torch import nn

from soli.interfaces import SoliError
from soli.spelling import nearest
from soli.training.settings import OptimizerSettings, Phase

LOSSES = ("caption", "attention", "contrastive", "matching", "spectral")


def check_phases(phases: Mapping[str, Phase], model: nn.Module, factors: Mapping[str, float] | None = None) -> None:
    """Raises SoliError for phases that train nothing, name an unknown module, loss or view, or have weights that are not usable.

    `factors` are those of the optimizer, whose modules must be known too.
    """
    if not phases:
        raise SoliError("The variant has no phases: give at least one under variant.phases.")
    modules = {name for name, _ in model.named_modules() if name}
    parts = [part for part, _ in model.named_children()]
    for name in factors or ():
        if name not in modules:
            raise SoliError(f"optimizer.factors.{name} is no module{nearest(name, modules)}; there are {', '.join(parts)}.")
    for name, phase in phases.items():
        where = f"variant.phases.{name}"
        if phase.epochs is not None and phase.epochs < 1:
            raise SoliError(f"{where}.epochs={phase.epochs} must be at least 1.")
        _check_names(f"{where}.train", phase.train, modules, parts)
        _check_names(f"{where}.losses", phase.losses, set(LOSSES), LOSSES)
        _check_views(where, phase)
        if has(phase, "contrastive") and len(phase.views) != 2:
            raise SoliError(
                f"{where}.losses.contrastive compares two views; {where}.views has {len(phase.views)} ({', '.join(phase.views)})."
            )
        if has(phase, "matching") and "matcher" not in parts:
            raise SoliError(f"{where}.losses.matching needs a captioner with a matcher, for photographs and captions in one space.")


def with_epochs(phases: Mapping[str, Phase], epochs: int) -> dict[str, Phase]:
    """The phases with all their epochs: those that name none share equally what the others leave of `epochs`.

    Raises SoliError when one would get none.
    """
    unnamed = [name for name, phase in phases.items() if phase.epochs is None]
    named = sum(phase.epochs for phase in phases.values() if phase.epochs is not None)
    left = epochs - named
    if unnamed and left < len(unnamed):
        least = named + len(unnamed)
        names = ", ".join(unnamed)
        raise SoliError(f"epochs={epochs} leaves {max(left, 0)} for the phases {names}: each needs one. Give epochs={least} or more.")
    shares = {name: left // len(unnamed) + (place < left % len(unnamed)) for place, name in enumerate(unnamed)}
    return {name: replace(phase, epochs=shares.get(name, phase.epochs)) for name, phase in phases.items()}


def has(phase: Phase, *losses: str) -> bool:
    """Whether the phase has any of these losses, with a weight above 0."""
    return any(phase.losses.get(loss, 0) > 0 for loss in losses)


def captioned_views(phase: Phase) -> list[str]:
    """The views whose captions are learnt, in the order of the views."""
    if not has(phase, "caption", "attention"):
        return []
    return [view for view in phase.views if phase.caption_views is None or view in phase.caption_views]


def trained_parts(phases: Mapping[str, Phase]) -> set[str]:
    """The parts of the model (encoder, decoder, ...) that any phase trains, or a module of them."""
    return {name.partition(".")[0] for phase in phases.values() for name, factor in phase.train.items() if factor > 0}


def matched_views(phase: Phase) -> list[str]:
    """The views that are matched with captions, in the order of the views."""
    if not has(phase, "matching"):
        return []
    return [view for view in phase.views if phase.matching_views is None or view in phase.matching_views]


def _check_views(where: str, phase: Phase) -> None:
    if not 1 <= len(phase.views) <= 2:
        raise SoliError(f"{where}.views has {len(phase.views)} views: give one, or two for the contrastive loss.")
    for view, conditions in phase.views.items():
        twice = [condition for condition in conditions if list(conditions).count(condition) > 1]
        if twice:
            raise SoliError(f"{where}.views.{view} names {twice[0]} twice: name each condition once; weights belong in a yaml file.")
        weights = conditions if isinstance(conditions, Mapping) else dict.fromkeys(conditions, 1.0)
        for condition, weight in weights.items():
            if not 0 <= weight < math.inf:
                raise SoliError(
                    f"{where}.views.{view}: the weight {weight} of {condition} must be a finite number, at least 0 (0: absent)."
                )
        if not any(weights.values()):
            raise SoliError(f"{where}.views.{view} is empty of conditions: name at least one, for example original.")
    _check_named_views(f"{where}.caption_views", phase.caption_views, phase.views, has(phase, "caption", "attention"))
    _check_named_views(f"{where}.matching_views", phase.matching_views, phase.views, has(phase, "matching"))


def _check_named_views(where: str, named: list[str] | None, views: Mapping[str, object], needed: bool) -> None:
    unknown = [view for view in named or () if view not in views]
    if unknown or (needed and named == []):
        raise SoliError(f"{where} names {', '.join(named) or 'nothing'}; the views are {', '.join(views)} (null: all of them).")


def check_weights(where: str, weights: Mapping[str, float | None]) -> None:
    """Raises SoliError for a weight or factor that is no number, negative or infinite; `where` is the key that has them."""
    for name, weight in weights.items():
        if weight is None or not 0 <= weight < math.inf:
            raise SoliError(f"{where}.{name}={'null' if weight is None else weight} must be a finite number, at least 0 (0: absent).")


def _check_names(where: str, weights: Mapping[str, float], known: set[str], listed: list[str] | tuple[str, ...]) -> None:
    for name in weights:
        if name not in known:
            raise SoliError(f"{where}.{name} is not known{nearest(name, known)}; there are {', '.join(listed)}.")
    check_weights(where, weights)
    if not any(weights.values()):
        raise SoliError(f"{where} has no entry above 0: there is nothing to train. Give one of {', '.join(listed)} a positive number.")


def phase_settings(settings: OptimizerSettings, phase: Phase) -> OptimizerSettings:
    """The optimizer's settings with the phase's own in place. Raises SoliError for impossible values."""
    changes = {key: value for key, value in asdict(phase.optimizer).items() if value is not None}
    return replace(settings, **changes)


def make_optimizer(groups: list[dict], settings: OptimizerSettings) -> torch.optim.Optimizer:
    if settings.name == "sgd":
        return torch.optim.SGD(groups, lr=settings.lr, momentum=0.9)
    return torch.optim.AdamW(groups, lr=settings.lr, fused=groups[0]["params"][0].is_cuda or None)


def parameter_groups(model: nn.Module, phase: Phase, settings: OptimizerSettings) -> list[dict]:
    """Freezes all of `model` but what `phase` trains, and returns the optimizer's groups of what is left, a group per named module.

    Frozen means no gradients and eval mode. A parameter under two names belongs to the more specific (longer) one, also to freeze it.
    """
    model.eval().requires_grad_(False)
    names = sorted(phase.train, key=len)
    for name in names:
        for part in _parts(model, name):
            part.train(phase.train[name] > 0)
    groups, taken = [], set()
    for name in reversed(names):
        parameters = {
            id(parameter): parameter for part in _parts(model, name) for parameter in part.parameters() if id(parameter) not in taken
        }
        taken |= set(parameters)
        if phase.train[name] > 0:
            group = {"name": name, "params": list(parameters.values()), "factor": phase.train[name] * settings.factor(name)}
            groups.append({**group, "weight_decay": settings.weight_decay})
    for group in groups:
        for parameter in group["params"]:
            parameter.requires_grad_(True)
    groups = [group for group in groups if group["params"]]
    if not groups:
        raise SoliError(
            f"None of {', '.join(phase.train)} has a parameter that may train: raise encoder.finetune_from, or name another module."
        )
    return groups


def check_embedding_trains(model: nn.Module, phase: Phase) -> None:
    """After `parameter_groups`. Raises SoliError when the phase has a loss on embeddings and trains nothing that it could move."""
    regularised = "matcher" if has(phase, "matching") and not has(phase, "contrastive") else "projector"
    for loss, part in (("contrastive", "projector"), ("matching", "matcher"), ("spectral", regularised)):
        if has(phase, loss) and not any(_trains(model, name) for name in ("encoder", part)):
            raise SoliError(
                f"A phase has a {loss} loss, but trains neither the encoder nor a {part}: give train.encoder or train.{part} a factor "
                f"above 0, or losses.{loss} the weight 0."
            )


def trains_encoder(model: nn.Module) -> bool:
    """After `parameter_groups`: whether any weight of the encoder trains."""
    return _trains(model, "encoder")


def _trains(model: nn.Module, name: str) -> bool:
    return any(parameter.requires_grad for parameter in model.get_submodule(name).parameters())


def _parts(model: nn.Module, name: str) -> list[nn.Module]:
    """The parts of a named module that may train at all."""
    module = model.get_submodule(name)
    return module.finetuned_parts() if hasattr(module, "finetuned_parts") else [module]


def learning_rate(settings: OptimizerSettings, step: int, num_steps: int) -> float:
    """The rate of step 0, 1, ... of `num_steps`: linear warm-up, then constant or half a cosine down to 0."""
    if step < settings.warmup_steps:
        return settings.lr * (step + 1) / settings.warmup_steps
    if settings.schedule == "constant":
        return settings.lr
    progress = (step - settings.warmup_steps) / max(1, num_steps - settings.warmup_steps)
    return settings.lr * 0.5 * (1 + math.cos(math.pi * progress))
