"""What the benchmarks share: two ways timed in turn, steps that must agree first, medians and quartiles, and a report with the machine."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from soli.evaluation.cost import cpu_name

Seconds = dict[str, float]
TOLERANCE = 1e-3  # of gradients, relative; single precision adds in another order here than there


@dataclass(frozen=True)
class StepContest:
    """The loss of a training step by two ways with the same weights; the backward pass and the optimiser are common to both.

    `inputs` are tensors whose gradients are part of the step too, for an encoder that is not there; no optimiser changes them.
    """

    name: str
    model: nn.Module
    num_images: int
    ours: Callable[[], Tensor]
    peer: Callable[[], Tensor]
    inputs: tuple[Tensor, ...] = ()

    @property
    def weights(self) -> list[Tensor]:
        return [parameter for parameter in self.model.parameters() if parameter.requires_grad]

    def clear(self) -> None:
        """Forgets all gradients."""
        for tensor in (*self.weights, *self.inputs):
            tensor.grad = None


def read_arguments(description: str, quick: str, captions: bool = False, photographs: bool = False) -> argparse.Namespace:
    """--quick, --output and, on request, --captions and --photographs."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    if captions:
        parser.add_argument("--captions", type=Path, help="a captions.jsonl of soli.evaluate; without it captions are drawn")
    if photographs:
        parser.add_argument("--photographs", type=Path, help="a root of Flickr8k; without it photographs of 500 x 375 pixels are drawn")
    parser.add_argument("--quick", action="store_true", help=quick)
    parser.add_argument("--output", type=Path, help="a file for the JSON; without it nothing is written")
    return parser.parse_args()


def measure_steps(contest: StepContest, repeats: int) -> dict:
    """Times the steps of both ways in turn, after one round that warms up and compares. Raises AssertionError when they do not agree."""
    differences = compare_steps(contest)
    optimizer = torch.optim.AdamW(contest.weights, lr=1e-5)

    def step(loss: Callable[[], Tensor]) -> None:
        contest.clear()
        loss().backward()
        optimizer.step()

    times = race(lambda: step(contest.ours), lambda: step(contest.peer), repeats)
    return {
        "name": contest.name,
        "images": contest.num_images,
        "differences": differences,
        "images_per_second": {way: contest.num_images / clocks["wall"]["median"] for way, clocks in times["seconds"].items()},
        **times,
    }


def compare_steps(contest: StepContest) -> dict[str, float]:
    """How far loss and gradients of both ways lie apart, relative to the peer's. Raises AssertionError when that is more than TOLERANCE.

    The gradient of a weight is measured by its norm, or by a thousandth of the norm of all gradients where it is smaller: some, such as
    those of the keys' biases in attention, are 0 but for rounding.
    """
    ours, peer = (loss_and_gradients(contest, way) for way in (contest.ours, contest.peer))
    least = 1e-3 * torch.stack([gradient.norm() for gradient in peer[1]]).norm()
    differences = {
        "loss": (abs(ours[0] - peer[0]) / abs(peer[0])).item(),
        "gradients": max(((a - b).norm() / b.norm().clamp(min=least)).item() for a, b in zip(ours[1], peer[1], strict=True)),
    }
    assert max(differences.values()) <= TOLERANCE, f"{contest.name}: the two ways differ, relatively, by {differences}"
    return differences


def loss_and_gradients(contest: StepContest, loss: Callable[[], Tensor]) -> tuple[Tensor, list[Tensor]]:
    """Those of all weights, then of the inputs: what gets no gradient counts as one with zeros."""
    contest.clear()
    value = loss()
    value.backward()
    tensors = [*contest.weights, *contest.inputs]
    return value.detach(), [torch.zeros_like(tensor) if tensor.grad is None else tensor.grad for tensor in tensors]


def race(ours: Callable[[], object], peer: Callable[[], object], repeats: int) -> dict:
    """Times both ways in turn: seconds of each, and how many times as fast ours is, by wall time and by CPU time."""
    rounds = [(timed(ours), timed(peer)) for _ in range(repeats)]
    columns = {"ours": [pair[0] for pair in rounds], "peer": [pair[1] for pair in rounds]}
    seconds = {way: {clock: quartiles([times[clock] for times in column]) for clock in ("wall", "cpu")} for way, column in columns.items()}
    speedup = {clock: seconds["peer"][clock]["median"] / seconds["ours"][clock]["median"] for clock in ("wall", "cpu")}
    return {"repeats": repeats, "seconds": seconds, "speedup": speedup}


def timed(work: Callable[[], object]) -> Seconds:
    wall, cpu = time.perf_counter(), cpu_seconds()
    work()
    return {"wall": time.perf_counter() - wall, "cpu": cpu_seconds() - cpu}


def cpu_seconds() -> float:
    """Of this process, and of those of its children that have ended and were waited for: a child that still runs counts nothing yet."""
    times = os.times()
    return time.process_time() + times.children_user + times.children_system


def quartiles(seconds: list[float]) -> Seconds:
    lower, median, upper = statistics.quantiles(seconds, n=4, method="inclusive") if len(seconds) > 1 else 3 * seconds
    return {"lower": lower, "median": median, "upper": upper}


def speed_table(results: list[dict], unit: str = "images/s") -> str:
    """Images a second of both ways, and how many times as fast ours is."""
    lines = [f"{'':32}{unit:>10}{'peer':>8}{'times as fast':>16}{'in CPU time':>13}"]
    for row in results:
        ours, peer = row["images_per_second"].values()
        lines.append(f"{row['name']:32}{ours:10.2f}{peer:8.2f}{row['speedup']['wall']:16.2f}{row['speedup']['cpu']:13.2f}")
    return "\n".join(lines)


def report(results: list[dict], table: str, versions: dict[str, str], output: Path | None, **machine: object) -> None:
    """Prints JSON and the table; writes the JSON where a file is named."""
    versions = {"python": platform.python_version(), **versions}
    text = json.dumps({"machine": {"cpu": cpu_name(), **machine}, "versions": versions, "results": results}, indent=2)
    print(f"{text}\n\n{table}")
    if output is not None:
        output.write_text(text + "\n", encoding="utf-8")
