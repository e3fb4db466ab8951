"""The training loop: one for all variants. A variant is data (soli/training/schedule.py); the step is in `_train_epoch` and `_backward`."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, nullcontext
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm

from soli.datasets import Batch, CaptionedImages, batches, epoch_order, unseen_batches
from soli.feature_cache import FeatureCache
from soli.losses import ContrastiveLoss
from soli.losses.contrastive import mean_distance
from soli.model import Captioner
from soli.printing import printable
from soli.training import processes
from soli.training.agreement import settings_of
from soli.training.checkpoint import LAST, load_checkpoint
from soli.training.endings import advice, resumable, told_of
from soli.training.figures import Figures
from soli.training.forecast import Forecast
from soli.training.health import check_reached
from soli.training.interruption import StopRequest
from soli.training.leftovers import forget_lost_best
from soli.training.logging import MetricsLog
from soli.training.matching import Matching
from soli.training.parts import PhaseViews
from soli.training.preparing import check_steps, prepare_negatives
from soli.training.progress import Progress
from soli.training.run import STOPPING, Run, Validate
from soli.training.schedule import (
    check_phases,
    has,
    learning_rate,
    make_optimizer,
    parameter_groups,
    phase_settings,
    set_rates,
    trains_encoder,
    with_epochs,
)
from soli.training.settings import OptimizerSettings, Phase, Recipe
from soli.training.sharding import average_gradients, divide, reunite, whole
from soli.training.siamese import Anchor, Siamese
from soli.training.step_losses import StepLosses

NUM_MEASURED = 128  # photographs whose mean distance from each other is an automatic margin


def train(
    model: Captioner,
    data: CaptionedImages,
    recipe: Recipe,
    folder: Path,
    validate: Validate,
    resume: bool = False,
    siamese: Siamese | None = None,
    matching: Matching | None = None,
) -> Progress:
    """Trains `model` in place, phase after phase, and keeps `folder` (soli/training/checkpoint.py) up to date.

    `validate` scores the validation split, told how far photographs lay apart at the start of the phase (None: not measured); its
    `recipe.validation.metric` selects each phase's best checkpoint. `siamese` and `matching` are the contrastive and the matching term of
    the phases that have one. With `recipe.features.cache` what an encoder that does not train, or a frozen anchor, makes of photographs is
    kept on disk. With `resume` it goes on from `last.safetensors` (or begins, if none was saved yet), and on the CPU the end equals that of
    an uninterrupted run bit for bit. Under torchrun all processes call it, and the first of them validates, logs and saves. SIGINT,
    SIGTERM and SIGHUP save, then raise KeyboardInterrupt. Raises SoliError for impossible phases, for a checkpoint of other settings, and
    for a loss or gradient that is not finite (the last checkpoint stays).
    """
    check_phases(recipe.phases, model, recipe.optimizer.factors)
    recipe = replace(recipe, phases=with_epochs(recipe.phases, recipe.epochs))
    accelerator = processes.start(model.device, recipe.runtime.precision)
    check_steps(recipe, len(data), siamese, accelerator.num_processes, matching)
    settings = settings_of(recipe, data, model, siamese, matching)
    prepare_negatives(recipe, data, siamese, matching)
    saved = resume and (folder / LAST).exists()
    progress = load_checkpoint(folder / LAST, model, settings=settings) if saved else Progress()
    if saved:
        forget_lost_best(folder, progress, accelerator.is_main_process)
    known = (progress.step, progress.num_logged) if resume else (None, None)
    log = MetricsLog(folder if accelerator.is_main_process else None, recipe.logging.tensorboard, *known)
    with log, StopRequest(advice(folder)) as stop, ExitStack() as streams:
        figures = Figures(lag=int(model.device.type == "cuda"))
        run = Run(model, data, recipe, folder, accelerator, siamese, matching, settings, log, stop, streams, progress, figures)
        first = progress.phase
        for number, (name, phase) in list(enumerate(recipe.phases.items()))[first:]:
            if not _train_phase(run, name, phase, validate, resumed=saved and number == first):
                break  # runtime.max_steps is reached; with more of them the run may be resumed
    return progress


def _train_phase(run: Run, name: str, phase: Phase, validate: Validate, resumed: bool) -> bool:
    """Trains a phase to its end, or to runtime.max_steps: then the answer is False."""
    model, recipe, progress, accelerator = run.model, run.recipe, run.progress, run.accelerator
    settings = phase_settings(recipe.optimizer, phase)
    model.zero_grad(set_to_none=True)  # gradients of an earlier phase would count in the norm
    groups, encoder = parameter_groups(model, phase, settings), model.encoder
    run.anchor = Anchor(model) if has(phase, "contrastive") and recipe.siamese.anchor != "shared" else None
    run.is_divided = recipe.runtime.shard and accelerator.num_processes > 1 and trains_encoder(model)
    if run.is_divided:
        model.encoder = divide(encoder, accelerator.device)
        groups = parameter_groups(model, phase, settings)
    run.optimizer, run.forecast = make_optimizer(groups, settings), Forecast(name, recipe, run.say)
    if resumed:
        load_checkpoint(run.folder / LAST, model, run.optimizer, run.companions)
    views = _phase_views(run, phase)
    if has(phase, "contrastive"):
        _measure(run, name)
    if recipe.runtime.compile:
        model.encoder.compile()
    trained = accelerator.prepare_model(model) if accelerator.num_processes > 1 and not run.is_divided else model
    optimizer = accelerator.prepare_optimizer(run.optimizer)
    if accelerator.scaler is not None and progress.scaler:
        accelerator.scaler.load_state_dict(progress.scaler)
    while progress.epoch < phase.epochs and not run.is_over:
        _train_epoch(run, name, phase, settings, trained, optimizer, views)
        if progress.epoch % recipe.validation.every_epochs == 0 or progress.epoch == phase.epochs or run.is_over:
            run.validate(name, validate)
        if recipe.validation.patience is not None and progress.validations_without_gain >= recipe.validation.patience:
            run.say(f"{name}: no gain in {recipe.validation.patience} validations, the phase ends here.")
            progress.epoch = phase.epochs
        if progress.epoch < phase.epochs:
            run.save()
    accelerator.free_memory()
    if run.is_divided:
        model.encoder, run.is_divided = reunite(encoder, model.encoder, accelerator.device), False
    if progress.epoch < phase.epochs:
        return False
    run.optimizer = run.anchor = None
    for negatives in run.companions.values():
        negatives.load_state_dict({})  # what they remember is of this phase's embeddings
    progress.end_phase(len(recipe.phases))
    run.save()
    return True


def _phase_views(run: Run, phase: Phase) -> PhaseViews:
    """The views of a phase that begins or is resumed; with a cache the features that it needs are made now, as far as they are missing."""
    model, recipe, data = run.model, run.recipe, run.data
    trains = trains_encoder(model)
    begun = run.anchor.encoder if run.anchor is not None and recipe.siamese.anchor == "frozen" else None  # the encoder as the phase began
    cache = None
    if recipe.features.cache is not None and (begun is not None or not trains):
        frozen = Captioner(begun or model.encoder, model.decoder, model.tokenizer, model.mode, model.reference_side)
        runtime = recipe.runtime
        cache = FeatureCache(
            Path(recipe.features.cache),
            frozen,
            recipe.features.dtype,
            runtime.precision,
            workers=runtime.workers,
            say=tqdm.write,
            check_stop=run.stop.stops("while features were made, which are kept"),
        )
    views = PhaseViews.of(phase, recipe, data.dataset.reference_side, cache, trains)
    if cache is not None:
        with resumable(run.folder):
            cache.ensure(data, views.cached)  # one process computes, the others wait for its lock
        run.accelerator.wait_for_everyone()
    return views


def _train_epoch(
    run: Run,
    name: str,
    phase: Phase,
    settings: OptimizerSettings,
    trained: nn.Module,
    optimizer: torch.optim.Optimizer,
    views: PhaseViews,
) -> None:
    """The steps of the present epoch, from the one on at which it was left. `trained` is the model, or DDP around it."""
    model, data, recipe, progress, accelerator = run.model, run.data, run.recipe, run.progress, run.accelerator
    weights = {loss: weight for loss, weight in phase.losses.items() if weight > 0}
    steps = processes.steps_of(epoch_order(len(data), recipe.seed, progress.epoch), recipe.loader.batch_size)
    shares = [processes.Share.of(indices, accelerator, recipe.loader.accumulation) for indices in steps[progress.batch :]]
    stream = _stream(run, shares, views)
    first_step = progress.step - progress.epoch * len(steps) - progress.batch  # of the phase
    num_steps = phase.epochs * len(steps)
    bar = _bar(f"{name} {progress.epoch + 1}/{phase.epochs}", len(steps), progress.batch, accelerator.is_main_process)
    run.forecast.begin_epoch(left=num_steps - (progress.step - first_step), done=progress.step)
    num_images, started = 0, time.perf_counter()

    for share in shares:
        rates = set_rates(optimizer, learning_rate(settings, progress.step - first_step, num_steps))
        optimizer.zero_grad(set_to_none=True)
        parts = [views.render(model, data, next(stream), recipe, progress.epoch) for _ in share.parts]
        losses = StepLosses(model, data, recipe, progress, accelerator, run.siamese, run.matching, run.anchor, views, share, parts)
        totals = _backward(run, trained, losses, weights)
        check_reached(model, name)
        if run.is_divided:
            average_gradients(accelerator, model)
        norm = accelerator.clip_grad_norm_(model.parameters(), float("inf") if settings.clip_norm is None else settings.clip_norm)
        run.figures.add(progress.step + 1, _figures(run, totals, weights, norm))
        run.read_figures()
        optimizer.step()
        if run.anchor is not None and recipe.siamese.anchor == "ema":
            run.anchor.follow(model, recipe.siamese.decay)
        progress.count_step()
        run.forecast.count_step()
        num_images += len(share.indices)
        bar.update()

        # once in a while: log
        logs = progress.step % recipe.logging.every_steps == 0 or progress.step == 1
        run.read_figures(everything=logs or progress.batch == len(steps))  # before validation all know whether to stop
        if logs:
            speed = num_images / (time.perf_counter() - started)
            bar.set_postfix({**{key: f"{value:.3g}" for key, value in run.latest.items()}, "img/s": f"{speed:.0f}"})
            run.log.write(progress.step, kind="train", phase=name, epoch=progress.epoch, **run.latest, **rates, images_per_second=speed)

        # when asked to: save, or stop with everything saved
        if run.stop_is_requested():
            bar.close()
            run.save()
            cause = run.stop.requested or "another process"
            raise KeyboardInterrupt(f"Stopped by {cause} after step {progress.step}; {advice(run.folder)}")
        every = recipe.runtime.save_every_steps
        if every is not None and progress.step % every == 0 and progress.batch < len(steps):  # the end of an epoch has its own
            run.save()
        if run.is_over:
            break
    bar.close()
    run.streams.close()  # else the last batch, and what its workers have opened, would stay until the training's end
    run.read_figures(everything=True)
    if progress.batch >= len(steps):
        rates = set_rates(optimizer, learning_rate(settings, progress.step - 1 - first_step, num_steps))  # of the last step
        speed = num_images / (time.perf_counter() - started)
        run.log.write(
            progress.step, kind="epoch", phase=name, epoch=progress.epoch + 1, **progress.means(), **rates, images_per_second=speed
        )
        progress.end_epoch()


def _stream(run: Run, shares: Sequence[processes.Share], views: PhaseViews) -> Iterator[Batch]:
    """The photographs of all parts of these steps, or what is known of them without looking; closed with the training's other streams."""
    plan = [part for share in shares for part in share.parts]
    if views.sees_photographs:
        stream = batches(run.data, plan, run.recipe.runtime.workers, run.model.device.type == "cuda")
    else:
        stream = unseen_batches(run.data, plan, views.cache.key)
    return run.streams.enter_context(closing(told_of(stream, run.folder)))


def _backward(run: Run, trained: nn.Module, losses: StepLosses, weights: Mapping[str, float]) -> dict[str, Tensor]:
    """The gradients of a step, part by part; those of all parts and processes add up. Returns the losses, by term."""
    accelerator, views = run.accelerator, losses.views
    totals: dict[str, Tensor] = {}
    for number, part in enumerate(losses.parts):
        losses.seed(number)  # dropout is a function of the step
        with nullcontext() if number == len(losses.parts) - 1 else accelerator.no_sync(trained):
            with accelerator.autocast():
                output = trained(
                    part.inputs,
                    part.read,
                    captioned=views.span(views.captioned, part),
                    embed=views.embeds,
                    attend="attention" in weights,
                    sentences=part.sentences,
                    matched=views.span(views.matched, part),
                )
            terms = losses(output, number, weights)
            loss = torch.stack([weights[term] * value for term, value in terms.items()]).sum()
            if loss.requires_grad:
                accelerator.backward(loss * accelerator.num_processes)  # DDP takes the mean over processes
        totals = {term: totals.get(term, 0) + losses.reported(term, value) for term, value in terms.items()}
    return totals


def _measure(run: Run, name: str) -> None:
    """How far different photographs lie apart for the encoder with which the phase begins: a margin may be relative to it."""
    progress, model, loss = run.progress, run.model, run.siamese.loss
    if progress.distance_at_start is None:
        photographs = run.data.first(NUM_MEASURED)
        images = told_of((photographs.dataset.read_image(example) for example in photographs.examples), run.folder)
        embeddings = model.embed(images, pooled=False)
        progress.compared_at_start = mean_distance(embeddings)
        progress.distance_at_start = mean_distance(embeddings.mean(1) if embeddings.dim() == 3 else embeddings)
    loss.measure(progress.compared_at_start)
    margin = f"; the margin is {loss.unit:.4g}" if isinstance(loss, ContrastiveLoss) else ""
    run.say(f"{name}: different photographs lie {progress.compared_at_start:.4g} apart at the start{margin}")


def _figures(run: Run, totals: Mapping[str, Tensor], weights: Mapping[str, float], norm: Tensor) -> dict[str, Tensor]:
    """The losses of a whole step, the norm of its gradients, and of several processes how many were asked to stop."""
    values = torch.stack(list(totals.values()))
    if run.accelerator.num_processes > 1:
        stopping = torch.tensor([float(run.stop.requested is not None)]).to(values, non_blocking=True)
        *values, stopping = processes.sum_over_processes(run.accelerator, torch.cat([values, stopping]))
    named = dict(zip(totals, values, strict=True))
    loss = sum(weights[term] * value for term, value in named.items())
    figures = {"loss": loss, **named, "gradient_norm": whole(norm)}
    return figures if run.accelerator.num_processes == 1 else {**figures, STOPPING: stopping}


def _bar(title: str, total: int, done: int, shown: bool) -> tqdm:
    return tqdm(total=total, initial=done, desc=printable(title), unit="step", dynamic_ncols=True, disable=not shown)
