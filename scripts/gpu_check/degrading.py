"""Photographs a second that are degraded under the paper's ten conditions, mixed, and framed for an encoder of 224 pixels.

PYTHONPATH=.:scripts/benchmark python scripts/gpu_check/degrading.py [--cpu] [--output FILE]

128 uint8 photographs of 500 x 375 and 375 x 500 pixels, in a random order, to (128, 3, 224, 224): squashed and mirrored as a ViT trains on
them, cropped at random and mirrored as a ResNet does, on the device already or in pinned memory of the host, as a loader hands them over.
The same photographs on the CPU are what it must agree with, and be compared with. Several sets take turns, none fits in a GPU's cache.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle
from statistics import median

import torch
from section import Section
from torch import Tensor

from soli.degradations import PAPER_CONDITIONS, Degradation, Frame, Framing, parse, render

WANTED = 20_000  # photographs a second
TOLERANCE = 1e-4  # of pixels between 0 and 1
NUM_SETS, ROUNDS, PER_ROUND = 3, 7, 6
LARGE, SMALL = (375, 500), (48, 64)  # height x width


@dataclass(frozen=True)
class Batch:
    """Photographs, how each is degraded, and through which window it is seen."""

    photographs: list[Tensor]
    degradations: list[Degradation]
    frames: list[Frame]

    def on(self, device: torch.device) -> Batch:
        return Batch([photograph.to(device) for photograph in self.photographs], self.degradations, self.frames)

    def pinned(self) -> Batch:
        """In one block of pinned memory, as a loader hands photographs over."""
        block = torch.cat([photograph.flatten() for photograph in self.photographs]).pin_memory()
        parts = block.split([photograph.numel() for photograph in self.photographs])
        views = [part.view_as(photograph) for part, photograph in zip(parts, self.photographs, strict=True)]
        return Batch(views, self.degradations, self.frames)

    def render(self, device: torch.device) -> Tensor:
        return render(self.photographs, self.degradations, self.frames, device)


def main() -> None:
    section = Section.begin(__doc__, seconds=35)
    size, number = (SMALL, 8) if section.toy else (LARGE, 128)
    for mode in ("squash", "crop"):
        with section.attempt(mode):
            batches = [draw(number, size, mode, seed) for seed in range(1 if section.toy else NUM_SETS)]
            measure(section, batches, mode)
            check(section, batches[0], mode)
    section.end()


def draw(number: int, size: tuple[int, int], mode: str, seed: int) -> Batch:
    """Random photographs, half of them upright, under random conditions, in random windows."""
    generator = random.Random(seed)
    sizes = [size if generator.random() < 0.5 else size[::-1] for _ in range(number)]
    pixels = torch.Generator().manual_seed(seed)
    photographs = [torch.randint(0, 256, (3, *sides), dtype=torch.uint8, generator=pixels) for sides in sizes]
    conditions = [parse(name) for name in PAPER_CONDITIONS]
    framing = Framing(224 if size == LARGE else 32, mode)
    return Batch(photographs, [generator.choice(conditions) for _ in sizes], [framing.frame(*sides, generator) for sides in sizes])


def check(section: Section, batch: Batch, mode: str) -> None:
    """Raises AssertionError when the device makes something else of the photographs than the CPU."""
    views = batch.on(section.device).render(section.device).cpu()
    difference = (views - batch.render(torch.device("cpu"))).abs().max().item()
    section.tell(f"{mode}, largest difference from the CPU", difference)
    assert difference < TOLERANCE, f"{mode}: the device's views differ from the CPU's by {difference}"


def measure(section: Section, batches: Sequence[Batch], mode: str) -> None:
    number, cpu = len(batches[0].photographs), torch.device("cpu")
    there = [batch.on(section.device) for batch in batches]
    section.add(f"{mode}, on the device", number / seconds(section, there, section.device), "images/s", WANTED)
    if section.device.type == "cuda":
        pinned = [batch.pinned() for batch in batches]
        section.add(f"{mode}, from pinned memory", number / seconds(section, pinned, section.device), "images/s", WANTED)
        section.add(f"{mode}, on the device, for the host alone", number / seconds_of_host(section, there), "images/s")
    section.add(f"{mode}, on the CPU, {torch.get_num_threads()} threads", number / seconds(section, batches, cpu, rounds=2), "images/s")


def seconds(section: Section, batches: Sequence[Batch], device: torch.device, rounds: int = ROUNDS) -> float:
    """Of a batch, the median of rounds in which several are handed over one after another; a first round warms up."""
    turns, several = cycle(batches), PER_ROUND if device.type == "cuda" else len(batches)

    def one_round() -> None:
        for _ in range(several):
            next(turns).render(device)
        section.wait()

    return median([timed(one_round) for _ in range(rounds + 1)][1:]) / several


def seconds_of_host(section: Section, batches: Sequence[Batch]) -> float:
    """That handing over a batch takes, without waiting for the device."""
    times = []
    for batch in [*batches] * ROUNDS:
        section.wait()
        times.append(timed(lambda batch=batch: batch.render(section.device)))
    return median(times)


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
