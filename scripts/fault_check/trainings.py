"""The trainings that faults are done to: every variant, small, on pictures that soli draws; and the warm process that begins them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]  # of the repository
LIMIT = 180.0  # seconds after which a training counts as hanging

SMALL = (
    "dataset=folder",
    "encoder.feature_dim=32",
    "encoder.input_size=32",
    "decoder.hidden_dim=16",
    "decoder.attention_dim=8",
    "decoder.embedding_dim=8",
    "vocabulary.min_count=1",
    "loader.batch_size=8",
    "degradation.conditions=[R0.5S1]",
    "validation.conditions=[original,R0.5S1]",
    "validation.num_beams=1",
    "generation.max_tokens=8",
    "logging.every_steps=1",
    "runtime.threads=1",
    "epochs=2",
)
MATCHING = ("joint.dim=8", "text_encoder.word_dim=8", "text_encoder.hidden_dim=8")
CLUSTERED = ("matching.negatives.num_clusters=3", "matching.negatives.length=3", "matching.negatives.virtual=2")
TWO_PHASES = ("variant.phases.contrastive.epochs=1", "variant.phases.caption.epochs=2")
VARIANTS = {
    "baseline": ("variant=baseline", "runtime.save_every_steps=2"),
    "aug": ("variant=aug",),
    "half": ("variant=half", "init_from={start}", "siamese.anchor=ema"),
    "par": ("variant=par", "siamese.anchor=frozen", "runtime.save_every_steps=2"),
    "con": ("variant=con", *TWO_PHASES),
    "ace": ("variant=ace", *MATCHING, "runtime.save_every_steps=1"),
    "cmns": ("variant=matching", "matching=cmns", *MATCHING, *CLUSTERED, "runtime.save_every_steps=2"),
    "con cached": ("variant=con", *TWO_PHASES, "features.cache=cache", "features.dtype=float32"),
}
DRAWING = """
import csv, sys
from pathlib import Path
from PIL import Image
from soli.datasets import ToyDataset
folder = Path(sys.argv[1])
toy, rows = ToyDataset(num_train=20, num_val=3, num_test=3), []
for split in ("train", "val", "test"):
    for example in toy.examples(split):
        name = f"{split}{len(rows)}.jpg"
        Image.fromarray(toy.read_image(example)).save(folder / name, quality=90)
        rows += [(name, caption, split) for caption in example.captions[:2]]
with open(folder / "captions.csv", "w", newline="", encoding="utf-8") as file:
    csv.writer(file).writerows([("image", "caption", "split"), *rows])
"""


@dataclass
class Training:
    """A process that trains, or did. `status` is its exit code, minus a signal that ended it; None while it runs."""

    pid: int
    output: Path
    status: int | None = None

    @property
    def said(self) -> str:
        """What it has written to stdout."""
        return read(self.output.with_suffix(".out"))

    @property
    def complained(self) -> str:
        """What it has written to stderr."""
        return read(self.output.with_suffix(".err"))


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


@dataclass
class Warm:
    """The warm process, seen from outside. `folder` is where outputs and pictures lie, `plant` a program run in every child first."""

    folder: Path
    plant: str = ""
    trainings: dict[int, Training] = field(default_factory=dict)
    begun: int = 0

    def __enter__(self) -> Warm:
        paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("server.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            start_new_session=True,
            bufsize=0,
        )
        self._rest = b""
        self._wait_for("ready")
        return self

    def __exit__(self, *_: object) -> None:
        for training in self.trainings.values():
            if training.status is None:
                end_group(training.pid)
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()

    def begin(
        self, folder: Path, arguments: Sequence[str], inject: dict[str, Any] | None = None, plant: str | None = None, program: str = ""
    ) -> Training:
        """A process that runs soli.train, or `program`, with these arguments in a folder."""
        self.begun += 1
        output = self.folder / f"output{self.begun}"
        request = {"arguments": list(arguments), "folder": str(folder), "output": str(output), "inject": inject or {}}
        request |= self._written(output, plant=self.plant if plant is None else plant, program=program)
        self.process.stdin.write(json.dumps(request).encode() + b"\n")
        return self.trainings[self._wait_for("started")]

    def _written(self, output: Path, **texts: str) -> dict[str, str]:
        """The programs as files beside the output, by name; "" where there is none."""
        files = {name: output.with_suffix(f".{name}.py") if text else None for name, text in texts.items()}
        for name, file in files.items():
            if file is not None:
                file.write_text(texts[name], encoding="utf-8")
        return {name: str(file or "") for name, file in files.items()}

    def import_as(self, listing: Path) -> None:
        """Imports what another process has needed."""
        self.process.stdin.write(json.dumps({"modules": str(listing)}).encode() + b"\n")
        self._wait_for("imported")

    def compose(self, arguments: Sequence[str]) -> None:
        """Makes a config once for all trainings with this command line."""
        self.process.stdin.write(json.dumps({"compose": list(arguments)}).encode() + b"\n")
        self._wait_for("composed")

    def is_over(self, training: Training) -> bool:
        """Whether the training has ended by now."""
        self._read(0.0)
        return training.status is not None

    def wait(self, training: Training, seconds: float = LIMIT) -> bool:
        """Waits for its end; whether it came. What hangs is ended with all that it has started."""
        deadline = time.monotonic() + seconds
        while training.status is None and (left := deadline - time.monotonic()) > 0:
            self._read(left)
        if training.status is None:
            end_group(training.pid)
            while training.status is None:
                self._read(LIMIT)
            return False
        return True

    def _wait_for(self, name: str) -> Any:
        """What the server says of this, whatever ends in between."""
        while True:
            for message in self._read(LIMIT):
                if name in message:
                    return message[name]

    def _read(self, seconds: float) -> list[dict[str, Any]]:
        """Reads what the server has told, waiting so long for it; notes what has ended."""
        import select

        messages: list[dict[str, Any]] = []
        if select.select([self.process.stdout], [], [], seconds)[0]:
            received = os.read(self.process.stdout.fileno(), 1 << 16)
            if not received:
                raise RuntimeError("the warm process has died")
            *lines, self._rest = (self._rest + received).split(b"\n")
            messages = [json.loads(line) for line in lines]
        for message in messages:
            if "started" in message:
                self.trainings[message["started"]] = Training(message["started"], self.folder / f"output{self.begun}")
            if "ended" in message:
                self.trainings[message["ended"]].status = message["status"]
        return messages


def end_group(pid: int) -> None:
    for target in (os.killpg, os.kill):
        try:
            target(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue


def session(pid: int) -> list[int]:
    """The processes that belong to the session of a training, which may itself be gone."""
    found = []
    for entry in Path("/proc").iterdir() if Path("/proc").is_dir() else []:
        if entry.name.isdigit():
            try:
                state, _, _, of_session = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
            except (OSError, ValueError):
                continue
            if int(of_session) == pid and state != "Z":
                found.append(int(entry.name))
    return found
