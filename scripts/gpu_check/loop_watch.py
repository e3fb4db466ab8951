"""Stands around the parts of the training loop: when its steps end, how long it waits for photographs, how long it renders them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from statistics import fmean
from typing import Any, Protocol
from unittest import mock

import torch

from soli.training import loop, run
from soli.training.parts import Part, PhaseViews
from soli.training.progress import Progress

NUM_PARTS = 8  # steps whose inputs are kept for bare steps
Mark = Any  # a moment


class Clock:
    """The device's own: a mark is a place among what it was given to do, and nothing waits for it."""

    def __init__(self, device: torch.device):
        self.on_device = device.type == "cuda"

    def mark(self) -> Mark:
        if not self.on_device:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def between(self, first: Mark, last: Mark) -> float:
        """Seconds. On CUDA both must have come to pass."""
        return first.elapsed_time(last) / 1000 if self.on_device else last - first


class FirstStep(Protocol):
    """What repeats the loop's first step, to compare."""

    def remember(self) -> None: ...

    def repeat(self, part: Part) -> dict[str, float]: ...


class Watch:
    """Of every step its end, the host's seconds of waiting, and begin and end of rendering; of the first ones, what was rendered."""

    def __init__(self, device: torch.device, warm_up: int):
        self.device, self.warm_up, self.clock = device, warm_up, Clock(device)
        self.ends: list[Mark] = []
        self.waiting: list[float] = []
        self.rendering: list[tuple[Mark, Mark]] = []
        self.parts: list[Part] = []
        self.first: dict[str, float] = {}
        self.peak_bytes = 0  # of the device's memory, in these steps, without what is kept

    @contextmanager
    def looking(self, step: FirstStep) -> Iterator[None]:
        """Within it the loop is watched, and saves nothing."""
        step.remember()
        replaced = [
            (loop, "batches", self._batches(loop.batches)),
            (run, "save_checkpoint", lambda *_, **__: None),
            (PhaseViews, "render", self._render(PhaseViews.render)),
            (Progress, "count_step", self._count_step(Progress.count_step, step)),
        ]
        with ExitStack() as stack:
            for owner, name, function in replaced:
                stack.enter_context(mock.patch.object(owner, name, function))
            yield
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
            kept = sum(part.inputs.numel() * part.inputs.element_size() for part in self.parts)
            self.peak_bytes = torch.cuda.max_memory_allocated(self.device) - kept

    def summary(self, number: int) -> dict[str, float]:
        """Seconds of a step, and of these the ones that the loop waited for photographs and rendered them, over the last so many steps."""
        rendering = [self.clock.between(*marks) for marks in self.rendering[-number:]]
        step = self.clock.between(self.ends[-number - 1], self.ends[-1]) / number
        return {"step": step, "waiting": fmean(self.waiting[-number:]), "rendering": fmean(rendering)}

    def _batches(self, batches: Callable) -> Callable:
        def watched(*arguments: Any) -> Iterator[Any]:
            stream = batches(*arguments)
            while True:
                started = time.perf_counter()
                batch = next(stream, None)
                if batch is None:
                    return
                self.waiting.append(time.perf_counter() - started)
                yield batch

        return watched

    def _render(self, render: Callable) -> Callable:
        def watched(*arguments: Any) -> Part:
            started = self.clock.mark()
            part = render(*arguments)
            self.rendering.append((started, self.clock.mark()))
            if len(self.parts) < NUM_PARTS:
                self.parts.append(part)
            return part

        return watched

    def _count_step(self, count_step: Callable, step: FirstStep) -> Callable:
        def watched(progress: Progress) -> None:
            count_step(progress)
            if not self.first:
                self.first = step.repeat(self.parts[0])
            self.ends.append(self.clock.mark())
            if len(self.ends) == self.warm_up and self.device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(self.device)

        return watched


def allocated(device: torch.device) -> int:
    """Bytes of a CUDA device's memory that tensors take."""
    return torch.cuda.memory_allocated(device) if device.type == "cuda" else 0
