"""The training loop: one for all variants. A variant is data (soli/training/schedule.py); the step is written out in `_train_epoch`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm

from soli.datasets import CaptionedImages, batches, epoch_order
from soli.degradations import parse
from soli.interfaces import SoliError
from soli.losses import AttentionLoss, CaptionLoss
from soli.model import Captioner
from soli.training.checkpoint import BEST, LAST, Progress, load_checkpoint, save_checkpoint
from soli.training.interruption import StopRequest
from soli.training.logging import MetricsLog
from soli.training.schedule import check_phases, learning_rate, parameter_groups
from soli.training.settings import Phase, Recipe
from soli.training.views import draw_views, randomness

Validate = Callable[[], Mapping[str, float]]


def train(model: Captioner, data: CaptionedImages, recipe: Recipe, folder: Path, validate: Validate, resume: bool = False) -> Progress:
    """Trains `model` in place, phase after phase, and keeps `folder` (soli/training/checkpoint.py) up to date.

    `validate` scores the validation split; its `recipe.validation.metric` selects the best checkpoint. With `resume` it goes on from
    `last.safetensors` (or begins, if none was saved yet), and on the CPU the end equals that of an uninterrupted run bit for bit. SIGINT
    and SIGTERM save, then raise KeyboardInterrupt. Raises SoliError for impossible phases and for a loss or gradient that is not finite
    (the last checkpoint stays).
    """
    check_phases(recipe.phases, model)
    saved = resume and (folder / LAST).exists()
    progress = load_checkpoint(folder / LAST, model) if saved else Progress()
    with MetricsLog(folder, recipe.logging.tensorboard, progress.step if resume else None) as log, StopRequest() as stop:
        run = _Run(model, data, recipe, folder, log, stop, progress)
        for number, (name, phase) in enumerate(recipe.phases.items()):
            if number < progress.phase:
                continue
            optimizer = torch.optim.AdamW(parameter_groups(model, phase, recipe.optimizer), lr=recipe.optimizer.lr)
            if saved:
                load_checkpoint(folder / LAST, model, optimizer)
                saved = False
            while progress.epoch < phase.epochs and not run.is_over:
                _train_epoch(run, name, phase, optimizer)
                if progress.epoch % recipe.validation.every_epochs == 0 or progress.epoch == phase.epochs or run.is_over:
                    _validate(run, name, validate)
                if recipe.validation.patience is not None and progress.validations_without_gain >= recipe.validation.patience:
                    tqdm.write(f"{name}: no gain in {recipe.validation.patience} validations, the phase ends here.")
                    progress.epoch = phase.epochs
                if progress.epoch < phase.epochs:
                    save_checkpoint(folder / LAST, model, progress, optimizer)
            if progress.epoch < phase.epochs:
                return progress  # runtime.max_steps is reached; with more of them the run may be resumed
            progress.phase, progress.epoch, progress.batch, progress.validations_without_gain = number + 1, 0, 0, 0
            progress.finished = progress.phase == len(recipe.phases)
            save_checkpoint(folder / LAST, model, progress)
    return progress


@dataclass
class _Run:
    """What all steps of a training share."""

    model: Captioner
    data: CaptionedImages
    recipe: Recipe
    folder: Path
    log: MetricsLog
    stop: StopRequest
    progress: Progress

    @property
    def is_over(self) -> bool:
        return self.recipe.runtime.max_steps is not None and self.progress.step >= self.recipe.runtime.max_steps


def _train_epoch(run: _Run, name: str, phase: Phase, optimizer: torch.optim.Optimizer) -> None:
    """The steps of the present epoch, from the batch on at which it was left."""
    model, data, recipe, progress = run.model, run.data, run.recipe, run.progress
    device, pad_id = model.device, model.tokenizer.pad_id
    order = epoch_order(len(data), recipe.seed, progress.epoch)
    plan = [order[first : first + recipe.loader.batch_size] for first in range(0, len(order), recipe.loader.batch_size)]
    degradations = [parse(condition, recipe.mode, data.dataset.reference_side) for condition in phase.conditions]
    weights = {loss: weight for loss, weight in phase.losses.items() if weight > 0}
    caption_loss, attention_loss = CaptionLoss(pad_id), AttentionLoss()
    first_step, num_steps = _span(progress, phase, len(plan), recipe)
    bar = tqdm(total=len(plan), initial=progress.batch, desc=f"{name} {progress.epoch + 1}/{phase.epochs}", unit="step", dynamic_ncols=True)
    started = time.perf_counter()

    for batch in batches(data, plan[progress.batch :], recipe.runtime.workers):
        torch.manual_seed(randomness(recipe.seed, "step", progress.step).getrandbits(63))  # dropout is a function of the step
        for group in optimizer.param_groups:
            group["lr"] = group["factor"] * learning_rate(recipe.optimizer, progress.step - first_step, num_steps)

        image_ids = [data.examples[index].image_id for index in batch.indices]
        views = draw_views(batch.images, image_ids, degradations, model.framing, recipe.seed, progress.epoch, flip=recipe.loader.flip)
        images, tokens = model.render(batch.images, *views), batch.tokens.to(device, non_blocking=True)  # (N, 3, S, S), (N, C, T)
        targets = tokens[..., 1:]
        with torch.autocast(device.type, torch.bfloat16, enabled=recipe.runtime.precision == "bf16"):
            features = model.encoder(images)  # (N, L, D)
            logits, attention = model.decoder(features, tokens[..., :-1], return_attention=True)  # (N, C, T, K), (N, C, T, L)
        terms: dict[str, Tensor] = {}
        if "caption" in weights:
            terms["caption"] = caption_loss(logits.float(), targets)
        if "attention" in weights:
            terms["attention"] = attention_loss(attention.float(), targets != pad_id)
        loss = torch.stack([weights[term] * value for term, value in terms.items()]).sum()
        optimizer.zero_grad(set_to_none=True)
        _backward(loss, model, name)
        norm = _clip_gradients(model, recipe.optimizer.clip_norm)
        _stop_unless_finite({**terms, "loss": loss, "gradient norm": norm}, progress.step, run.folder / LAST)
        optimizer.step()
        progress.step, progress.batch = progress.step + 1, progress.batch + 1
        bar.update()

        # once in a while: log
        if progress.step % recipe.logging.every_steps == 0 or progress.step == 1:
            figures = {"loss": loss.item(), **{term: value.item() for term, value in terms.items()}}
            rate = len(batch.images) / (time.perf_counter() - started)
            rates = {f"lr/{group['name']}": group["lr"] for group in optimizer.param_groups}
            bar.set_postfix({**{key: f"{value:.3f}" for key, value in figures.items()}, "img/s": f"{rate:.0f}"})
            where = {"kind": "train", "phase": name, "epoch": progress.epoch}
            run.log.write(progress.step, **where, **figures, gradient_norm=norm.item(), **rates, images_per_second=rate)
        started = time.perf_counter()

        # when asked to: stop, with everything saved
        if run.stop.requested:
            bar.close()
            save_checkpoint(run.folder / LAST, model, progress, optimizer)
            raise KeyboardInterrupt(f"Stopped by {run.stop.requested} after step {progress.step}; continue with resume={run.folder}")
        if run.is_over:
            break
    bar.close()
    if progress.batch >= len(plan):
        progress.epoch, progress.batch = progress.epoch + 1, 0


def _validate(run: _Run, name: str, validate: Validate) -> None:
    """Scores the validation split, logs it and keeps the best weights. All modules leave in the mode in which they came."""
    modes = {part: part.training for part in run.model.modules()}
    scores, progress, metric = validate(), run.progress, run.recipe.validation.metric
    for part, mode in modes.items():
        part.training = mode
    if metric not in scores:
        raise SoliError(f"validation.metric={metric} is not among the scores of the validation: {', '.join(scores)}.")
    if progress.best_score is None or scores[metric] > progress.best_score:
        progress.best_score, progress.validations_without_gain = scores[metric], 0
        save_checkpoint(run.folder / BEST, run.model, progress)
    else:
        progress.validations_without_gain += 1
    run.log.write(progress.step, kind="validation", phase=name, epoch=progress.epoch, **scores)
    tqdm.write(f"{name}, after epoch {progress.epoch}: " + ", ".join(f"{key} {value:.3f}" for key, value in scores.items()))


def _span(progress: Progress, phase: Phase, steps_per_epoch: int, recipe: Recipe) -> tuple[int, int]:
    """The step at which the present phase began, and how many steps it takes: what its learning rate depends on."""
    first_step = progress.step - progress.epoch * steps_per_epoch - progress.batch
    num_steps = phase.epochs * steps_per_epoch
    return first_step, min(num_steps, recipe.runtime.max_steps - first_step) if recipe.runtime.max_steps else num_steps


def _backward(loss: Tensor, model: nn.Module, phase: str) -> None:
    """The gradients of the loss. Raises SoliError when it does not reach all parameters that are to train."""
    if loss.requires_grad:
        loss.backward()
    missed = [name for name, parameter in model.named_parameters() if parameter.requires_grad and parameter.grad is None]
    if missed:
        advice = "Give a loss that does a weight above 0, or leave them out of train"
        raise SoliError(f"variant.phases.{phase}: no loss reaches {len(missed)} of the weights it trains ({missed[0]}, ...). {advice}.")


def _clip_gradients(model: nn.Module, clip_norm: float | None) -> Tensor:
    """The total norm of all gradients, which are then clipped to `clip_norm` if given."""
    parameters = [parameter for parameter in model.parameters() if parameter.grad is not None]
    return nn.utils.clip_grad_norm_(parameters, clip_norm if clip_norm is not None else float("inf"))


def _stop_unless_finite(figures: Mapping[str, Tensor], step: int, last: Path) -> None:
    for name, value in figures.items():
        if not torch.isfinite(value):
            kept = f"the last checkpoint is {last}" if last.exists() else "no checkpoint was saved yet"
            raise SoliError(f"The {name} is {value.item()} at step {step}: training stops; {kept}. Try a lower optimizer.lr or clip_norm.")
