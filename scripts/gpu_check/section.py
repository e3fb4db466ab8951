"""A section of the check while it runs: its options, its device, the time it has left, and the figures it has found, on disk after each."""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parents[2]  # of the repository


@dataclass(frozen=True)
class Figure:
    """A number. `wanted` is the least that is wanted of it; None: it is only told."""

    name: str
    value: float | None  # None: it is not finite
    unit: str = ""
    wanted: float | None = None


@dataclass
class Section:
    """`toy`: small sizes on a CPU, which check the section itself. `output`: where its figures are written; None: nowhere."""

    device: torch.device
    toy: bool
    seconds: float
    output: Path | None = None
    photographs: Path | None = None
    weights: Path | None = None
    figures: list[Figure] = field(default_factory=list)
    details: dict[str, object] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)
    lock: Any = field(default_factory=threading.Lock)  # of the file

    @classmethod
    def begin(cls, description: str, seconds: float) -> Section:
        """As the command line says. Ends the program with a sentence where there is no CUDA device or a folder is missing."""
        parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
        parser.add_argument("--seconds", type=float, default=seconds, help="how long it may take")
        add_options(parser)
        given = parser.parse_args()
        check_options(given, torch.cuda.is_available())
        device = torch.device("cpu") if given.cpu else torch.device("cuda", torch.cuda.current_device())
        return cls(device, given.cpu, given.seconds, given.output, given.photographs, given.weights)

    @property
    def left(self) -> float:
        """Seconds."""
        return self.seconds - (time.monotonic() - self.started)

    def add(self, name: str, value: float, unit: str = "", wanted: float | None = None) -> None:
        """A figure, which is printed and written."""
        self.figures.append(Figure(name, float(value) if math.isfinite(value) else None, unit, wanted))
        self.say(f"{name}: {short(value)} {unit}".rstrip())
        self.write()

    def tell(self, name: str, content: object) -> None:
        """What else the JSON is to say, which is written."""
        self.details[name] = content
        self.write()

    def say(self, sentence: str) -> None:
        print(sentence, flush=True)

    def write(self) -> None:
        """All figures up to now, in one step."""
        if self.output is None:
            return
        with self.lock:
            text = json.dumps({"figures": [asdict(figure) for figure in self.figures], "details": self.details}, indent=2)
            unfinished = self.output.with_suffix(".unfinished")
            unfinished.write_text(text + "\n", encoding="utf-8")
            unfinished.replace(self.output)

    @contextmanager
    def attempt(self, name: str) -> Iterator[None]:
        """What fails within it is told, and the section goes on; it fails at its end."""
        try:
            yield
        except Exception:
            traceback.print_exc(file=sys.stdout)
            self.failures.append(name)

    def end(self) -> None:
        """Ends the program with exit code 1 where an attempt has failed."""
        if self.failures:
            sys.exit(f"failed: {', '.join(self.failures)}")

    def wait(self) -> None:
        """Until the device has done all that it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    @property
    def num_workers(self) -> int:
        """Processes that decode photographs: all but two of the processors, twelve at most."""
        return 1 if self.toy else max(1, min(12, (os.cpu_count() or 3) - 2))


def add_options(parser: argparse.ArgumentParser) -> None:
    """Those that the check and all its sections have."""
    parser.add_argument("--cpu", action="store_true", help="toy sizes on a CPU: checks the check itself")
    parser.add_argument("--photographs", type=Path, help="a folder that pack.py made, for the training; without it pictures are drawn")
    parser.add_argument("--weights", type=Path, help="a folder with vit-tiny-imagenet/, resnet18*.pth, glove*.txt, for the training")
    parser.add_argument("--output", type=Path, help="a file for the JSON")


def check_options(given: argparse.Namespace, has_cuda: bool) -> None:
    """Ends the program with a sentence for what is not there."""
    if not given.cpu and not has_cuda:
        stop("There is no CUDA device here: run this on a machine with one, or give --cpu to check the check itself with toy sizes.")
    for name in ("photographs", "weights"):
        folder = getattr(given, name)
        if folder is not None and not folder.is_dir():
            stop(f"--{name}={folder} is not a folder: give one that exists, or leave --{name} out.")
    if given.output is not None and not given.output.resolve().parent.is_dir():
        stop(f"--output={given.output} would lie in a folder that does not exist: make it first, or name a file elsewhere.")


def short(value: float) -> str:
    """Four digits; thousands whole."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def stop(sentence: str) -> None:
    """Ends the program for a user's mistake."""
    print(sentence, file=sys.stderr)
    raise SystemExit(2)
