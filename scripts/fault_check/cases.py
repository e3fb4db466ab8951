"""A fault and a training: what both need, from the folder to the verdict."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fault_check.judging import complaints, damaged, differences, sentence
from fault_check.trainings import DRAWING, SMALL, VARIANTS, Training, Warm, session

WORKER = ("runtime.workers=1",)
LINGERING = 30.0  # seconds in which what a training has started must end


@dataclass(frozen=True)
class Reference:
    """An undisturbed training: its folder, how long it took, and how often it wrote and opened photographs."""

    home: Path
    seconds: float
    operations: int
    photographs: int
    photographs_before: int  # the training itself began

    @property
    def num_steps(self) -> int:
        return max(json.loads(line)["step"] for line in (self.home / "run" / "metrics.jsonl").open(encoding="utf-8"))


@dataclass
class Laboratory:
    """The folder of all trainings, the warm process, and the undisturbed trainings, which are done when they are first asked for."""

    folder: Path
    warm: Warm
    references: dict[str, Reference] = field(default_factory=dict)

    def prepare(self) -> None:
        """Draws the pictures, and has the warm process import all that a training needs."""
        self.pictures = self.folder / "pictures"
        self.pictures.mkdir()
        drawing = self.warm.begin(self.folder, [str(self.pictures)], program=DRAWING)
        if not self.warm.wait(drawing) or drawing.status != 0:
            raise RuntimeError(drawing.complained)
        listing = self.folder / "modules"
        self._undisturbed("baseline", "first", {"list modules": str(listing)})
        self.warm.import_as(listing)
        self.warm.compose(["resume=run"])

    def arguments(self, variant: str) -> list[str]:
        start = self.folder / "first" / "run"
        return [*SMALL, f"dataset.root={self.pictures}", "run_dir=run", *(word.format(start=start) for word in VARIANTS[variant])]

    def reference(self, variant: str) -> Reference:
        if variant not in self.references:
            for others in ((), WORKER):
                self.warm.compose([*self.arguments(variant), *others])
            name = f"undisturbed {variant}"
            counts = self.folder / f"{name}.json"
            seconds = self._undisturbed(variant, name, {"count": str(counts)})
            self.references[variant] = Reference(self.folder / name, seconds, **json.loads(counts.read_text(encoding="utf-8")))
        return self.references[variant]

    def _undisturbed(self, variant: str, name: str, inject: dict[str, Any]) -> float:
        (self.folder / name).mkdir()
        started = time.monotonic()
        training = self.warm.begin(self.folder / name, self.arguments(variant), inject, plant="")
        if not self.warm.wait(training) or training.status != 0:
            raise RuntimeError(f"{variant} does not train without any fault:\n{training.said}{training.complained}")
        return time.monotonic() - started


@dataclass
class Case:
    """A training of `variant` that a fault happens to; `chance` decides when. `problems` are what it should not have done."""

    laboratory: Laboratory
    variant: str
    home: Path
    chance: random.Random
    problems: list[str] = field(default_factory=list)
    stopped: str | None = None  # the sentence with which it stopped
    account: list[str] = field(default_factory=list)  # what was done
    is_over: bool = False  # it has come to the end, or cannot

    @property
    def warm(self) -> Warm:
        return self.laboratory.warm

    @property
    def reference(self) -> Reference:
        return self.laboratory.reference(self.variant)

    @property
    def run(self) -> Path:
        return self.home / "run"

    def note(self, event: str) -> None:
        self.account.append(event)

    def begin(self, inject: dict[str, Any] | None = None, others: Sequence[str] = ()) -> Training:
        """Starts the training, or resumes it where its run folder was begun."""
        begun = (self.run / "config.yaml").exists()
        first = [*self.laboratory.arguments(self.variant), *others]
        return self.warm.begin(self.home, ["resume=run"] if begun else first, inject)

    def wait(self, training: Training, codes: set[int], culprits: tuple[str, ...] = ()) -> None:
        """Waits for the end of a training, and judges it and what it leaves."""
        if not self.warm.wait(training):
            self.problems.append("it hangs")
            return
        self.problems += complaints(training, codes, culprits) + damaged(self.run)
        if training.status in (1, 130):
            self.stopped = sentence(training)
        deadline = time.monotonic() + LINGERING
        while (left := session(training.pid)) and time.monotonic() < deadline:
            time.sleep(0.02)
        if left:
            self.problems.append(f"{len(left)} processes outlive it")
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def pass_time(self, training: Training) -> bool:
        """Lets a random share of the training's time pass; whether it is still at work then."""
        seconds = self.chance.uniform(0.0, 1.02) * self.reference.seconds
        self.note(f"after {seconds:.2f} s of {self.reference.seconds:.2f}")
        return self.rest(training, seconds)

    def rest(self, training: Training, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while not (over := self.warm.is_over(training)) and time.monotonic() < deadline:
            time.sleep(0.005)
        return not over

    def kill(self, training: Training, number: int, group: bool = False) -> None:
        """Sends a signal to a training, or to all its processes."""
        self.note(f"{signal.Signals(number).name}{' to the group' if group else ''}")
        if not self.warm.is_over(training):
            with contextlib.suppress(ProcessLookupError):
                (os.killpg if group else os.kill)(training.pid, number)

    def go_on(self) -> None:
        """With the cause removed the training must come to the end of the undisturbed one."""
        if self.is_over or "it hangs" in self.problems:
            return
        self.is_over = True
        training = self.begin()
        if not self.warm.wait(training):
            self.problems.append("resumed, it hangs")
        elif training.status != 0:
            said = sentence(training) or training.complained[-2000:]
            self.problems.append(f"resumed, it ends with exit code {training.status}: {said}")
        else:
            self.problems += [f"resumed, {wrong}" for wrong in complaints(training, {0})]
            self.problems += [f"at the end {wrong}" for wrong in differences(self.home, self.reference.home)]


@contextlib.contextmanager
def small_disk(folder: Path, pages: int) -> Iterator[bool]:
    """`folder` as a disk in memory of so many pages of 4 KiB; False where that may not be."""
    mounted = mount("-t", "tmpfs", "-o", f"size={4 * pages}k,mode=755", "soli", str(folder))
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], check=False)


def mount(*options: str) -> bool:
    if shutil.which("mount") is None or os.geteuid() != 0:
        return False
    return subprocess.run(["mount", *options], capture_output=True, check=False).returncode == 0
