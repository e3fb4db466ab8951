"""How much of the speed of bare steps the training loop keeps: SOLI-par, ViT-Tiny at 224 pixels, a small GPT-2, 32 photographs, one thread.

python scripts/benchmark/training_loop.py [--photographs ROOT] [--quick] [--output FILE]

Ours is soli.training.loop.train: JPEG files are decoded, in this process or in a worker, degraded and rendered; steps are clipped, checked,
logged and shown. The peer takes what the loop has rendered for a step, ready tensors, and does nothing but the forward pass, the losses,
the backward pass and the optimiser of the same model. After each step of the loop the same one is timed bare, so that what else the machine
does meets both. The first step is not timed: there the bare step's loss and gradients must be those that the loop logs. Validation and
saving are not timed either.

Prints JSON and a table: medians, with quartiles in the JSON, of images a second, of their ratio step by step, and of the loop's seconds a
step those that wait for photographs and render them. CPU time is that of the process without its worker.
"""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from captioners import SMALL_GPT2, VIT_TINY
from omegaconf import OmegaConf
from photographs import data_overrides
from siamese_step import in_one_pass
from timing import Seconds, quartiles, read_arguments, report, timed
from torch import Tensor

from soli.configuration import build, compose
from soli.datasets import CaptionedImages
from soli.jobs.recipe import make_recipe
from soli.model import Captioner
from soli.runs import build_captioner, build_dataset, build_tokenizer
from soli.training import loop
from soli.training.checkpoint import Progress
from soli.training.parts import Part, PhaseViews
from soli.training.schedule import make_optimizer, parameter_groups
from soli.training.settings import Recipe
from soli.training.siamese import Siamese
from soli.version import __version__

PAR = ("variant=par", "variant.phases.joint.losses.contrastive=1", "decoder.dropout=0")  # the losses of siamese_step.py
TOLERANCE = 1e-4  # of the first loss and of the norm of its gradients, relative


@dataclass(frozen=True)
class Training:
    """A training as soli.train would begin it."""

    model: Captioner
    data: CaptionedImages
    recipe: Recipe
    siamese: Siamese

    @classmethod
    def of(cls, overrides: Sequence[str]) -> Training:
        settings = OmegaConf.to_container(compose(overrides), resolve=True)
        recipe, dataset = make_recipe(settings), build_dataset(settings)
        tokenizer = build_tokenizer(settings, (caption for example in dataset.examples("train") for caption in example.captions))
        torch.manual_seed(recipe.seed)
        model = build_captioner(settings, tokenizer).to(memory_format=torch.channels_last)
        siamese = Siamese(build(settings["contrastive"]), build(settings["negatives"]))
        return cls(model, CaptionedImages(dataset, "train", tokenizer, recipe.loader.max_tokens), recipe, siamese)

    def run(self, workers: int, num_steps: int) -> dict[str, float]:
        """What the loop logs of its first step."""
        recipe = replace(self.recipe, runtime=replace(self.recipe.runtime, workers=workers, max_steps=num_steps))
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
            loop.train(self.model, self.data, recipe, Path(folder), lambda _: {recipe.validation.metric: 0.0}, siamese=self.siamese)
            return json.loads((Path(folder) / "metrics.jsonl").read_text(encoding="utf-8").splitlines()[0])

    def optimizer(self) -> torch.optim.Optimizer:
        (phase,) = self.recipe.phases.values()
        return make_optimizer(parameter_groups(self.model, phase, self.recipe.optimizer), self.recipe.optimizer)

    def backward(self, part: Part) -> Tensor:
        """The loss of what the loop has rendered, with the gradients in their places."""
        self.model.zero_grad(set_to_none=True)
        loss = in_one_pass(self.model, self.siamese, part.inputs, part.tokens)
        loss.backward()
        return loss.detach()


class Watch:
    """Stands around the parts of the loop: the seconds of its steps, of these the ones that it waits or renders, and of bare steps."""

    def __init__(self, training: Training):
        self.training, self.optimizer = training, training.optimizer()
        self.weights = {name: value.clone() for name, value in training.model.state_dict().items()}  # of the first step
        self.steps: list[Seconds] = []
        self.bare: list[Seconds] = []
        self.waiting: list[float] = []
        self.rendering: list[float] = []
        self.first: dict[str, float] = {}  # of the bare step that is the loop's first
        self._went_on: Seconds = {}  # when the loop did, after the last bare step

    @contextlib.contextmanager
    def looking(self) -> Iterator[None]:
        batches, render, count_step = loop.batches, PhaseViews.render, Progress.count_step

        def timed_batches(*arguments: Any) -> Iterator[Any]:
            stream = batches(*arguments)
            while (batch := _timed(self.waiting, next, stream, None)) is not None:
                yield batch

        def timed_render(*arguments: Any) -> Part:
            self.part = _timed(self.rendering, render, *arguments)
            return self.part

        def counted_step(*arguments: Any) -> None:
            count_step(*arguments)
            self._end_step()

        with (
            mock.patch.object(loop, "batches", timed_batches),
            mock.patch.object(PhaseViews, "render", timed_render),
            mock.patch.object(Progress, "count_step", counted_step),
        ):
            yield

    def _end_step(self) -> None:
        if self._went_on:
            ended = now()
            self.steps.append({clock: ended[clock] - self._went_on[clock] for clock in ended})
            self.bare.append(timed(self._bare_step))
        else:
            self._repeat_first_step()
        self._went_on = now()

    def _bare_step(self) -> None:
        self.training.backward(self.part)
        self.optimizer.step()

    def _repeat_first_step(self) -> None:
        """From the weights that it began with; afterwards the model is as the loop has left it."""
        model = self.training.model
        stepped = {name: value.clone() for name, value in model.state_dict().items()}
        model.load_state_dict(self.weights)
        loss = self.training.backward(self.part)
        norm = torch.nn.utils.get_total_norm([weight.grad for weight in model.parameters() if weight.grad is not None])
        model.load_state_dict(stepped)
        self.first = {"loss": loss.item(), "gradient_norm": norm.item()}


def main() -> None:
    given = read_arguments(__doc__, quick="two steps of each instead of eight", photographs=True)
    torch.set_num_threads(1)
    num_steps = 2 if given.quick else 8
    with tempfile.TemporaryDirectory() as scratch, mock.patch.object(loop, "NUM_MEASURED", 32):  # before the first step, so not timed
        data = data_overrides(given.photographs, Path(scratch) / "photographs", num_train=32 * (num_steps + 4))
        training = Training.of([*data, *VIT_TINY, *SMALL_GPT2, *PAR])
        results = [measure(training, workers, num_steps) for workers in (0, 1)]
    report(results, table(results), {"soli": __version__, "torch": torch.__version__}, given.output, threads=1)


def measure(training: Training, workers: int, num_steps: int) -> dict:
    """Times so many steps of the loop and as many bare ones. Raises AssertionError when a bare step is not the loop's."""
    watch = Watch(training)
    with watch.looking():
        logged = training.run(workers, num_steps + 1)
    differences = {name: abs(logged[name] - value) / abs(value) for name, value in watch.first.items()}
    assert max(differences.values()) <= TOLERANCE, f"the loop's first step and a bare one differ, relatively, by {differences}"
    waiting, rendering = watch.waiting[1:], watch.rendering[1:]
    rest = [step["wall"] - waited - rendered for step, waited, rendered in zip(watch.steps, waiting, rendering, strict=True)]
    ways = {"ours": watch.steps, "peer": watch.bare}
    seconds = {way: {clock: quartiles([step[clock] for step in steps]) for clock in ("wall", "cpu")} for way, steps in ways.items()}
    pairs = list(zip(watch.steps, watch.bare, strict=True))
    return {
        "name": f"{workers} workers",
        "images": training.recipe.loader.batch_size,
        "steps": num_steps,
        "differences": differences,
        "images_per_second": {way: training.recipe.loader.batch_size / clocks["wall"]["median"] for way, clocks in seconds.items()},
        "ratio": {clock: quartiles([bare[clock] / step[clock] for step, bare in pairs]) for clock in ("wall", "cpu")},
        "seconds": seconds,
        "seconds_of_a_step": {"waiting": quartiles(waiting), "rendering": quartiles(rendering), "rest": quartiles(rest)},
    }


def _timed(seconds: list[float], work: Callable[..., Any], *arguments: Any) -> Any:
    """What the work returns; how long it took is added to `seconds`."""
    started = time.perf_counter()
    result = work(*arguments)
    seconds.append(time.perf_counter() - started)
    return result


def now() -> Seconds:
    return {"wall": time.perf_counter(), "cpu": time.process_time()}


def table(results: list[dict]) -> str:
    shares = ("waiting", "rendering", "rest")
    lines = [f"{'':12}{'images/s':>10}{'bare':>8}{'ratio':>8}{'in CPU time':>13}" + "".join(f"{share:>12}" for share in shares)]
    for row in results:
        ours, bare = row["images_per_second"].values()
        wall, cpu = (row["ratio"][clock]["median"] for clock in ("wall", "cpu"))
        parts = "".join(f"{row['seconds_of_a_step'][share]['median']:10.3f} s" for share in shares)
        lines.append(f"{row['name']:12}{ours:10.2f}{bare:8.2f}{wall:8.3f}{cpu:13.3f}{parts}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
