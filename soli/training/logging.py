"""The log of a run: JSON lines in its folder, and TensorBoard on request. What a crash left of it is cut where a checkpoint knows it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from soli.disks import remedy, told, write_whole
from soli.interfaces import SoliError
from soli.json_text import parse_json
from soli.training.endings import advice


class MetricsLog:
    """Appends lines to `<run>/metrics.jsonl`; each has the step it belongs to. As a context manager it closes its files.

    `num_lines` are in the file. A checkpoint remembers them: a line of its own step may have been written before it or after.
    """

    def __init__(
        self, folder: Path | None, tensorboard: bool = False, resume_step: int | None = None, resume_lines: int | None = None
    ) -> None:
        """With `resume_step` the lines of later steps are dropped, and those beyond the first `resume_lines` (None: not known), so that a
        resumed log equals an uninterrupted one. Without a folder nothing is written: for all processes but the first.

        Raises SoliError when TensorBoard is wanted and not installed, and for a log that cannot be written.
        """
        self._file = self._board = None
        self.num_lines = 0
        if folder is None:
            return
        self._path = folder / "metrics.jsonl"
        try:
            if resume_step is not None and self._path.exists():
                self.num_lines = _drop_after(self._path, resume_step, resume_lines)
            self._file = open(self._path, "ab", buffering=0)  # noqa: SIM115 - closed by close()
        except OSError as reason:
            raise self._failed(reason) from reason
        self._board = _tensorboard(folder, resume_step) if tensorboard else None

    def write(self, step: int, **figures: Any) -> None:
        """Adds a line. Raises SoliError when the disk does not take it."""
        if self._file is None:
            return
        rest = json.dumps({"step": step, **figures}).encode() + b"\n"
        try:
            while rest:
                rest = rest[self._file.write(rest) :]  # a disk that fills up takes a part
        except OSError as reason:
            raise self._failed(reason) from reason
        self.num_lines += 1
        if self._board:
            kind = figures.get("kind", "train")
            for name, value in figures.items():
                if isinstance(value, (int, float)):
                    self._board.add_scalar(f"{kind}/{name}", value, step)

    def keep(self) -> int:
        """Sees to it that a crash of the machine leaves what is written, and returns the number of lines. Raises SoliError."""
        if self._file is not None:
            try:
                os.fsync(self._file.fileno())
            except OSError as reason:
                raise self._failed(reason) from reason
        return self.num_lines

    def _failed(self, reason: OSError) -> SoliError:
        return SoliError(
            f"The log {self._path} cannot be written ({told(reason)}); the last checkpoint is untouched. "
            f"{remedy(reason)}, then {advice(self._path.parent)}."
        )

    def close(self) -> None:
        if self._file:
            self._file.close()
        if self._board:
            self._board.close()

    def __enter__(self) -> MetricsLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _drop_after(path: Path, step: int, most: int | None) -> int:
    """Keeps the lines up to `step`, at most so many, and returns their number; a line that a crash cut short or spoilt goes too."""
    kept = []
    for line in path.read_bytes().split(b"\n")[:-1][:most]:
        try:
            if parse_json(line)["step"] <= step:
                kept.append(line)
        except (ValueError, LookupError, TypeError):
            break
    write_whole(path, b"".join(line + b"\n" for line in kept))  # the checkpoint counts on these lines
    return len(kept)


def _tensorboard(folder: Path, resume_step: int | None) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as reason:
        raise SoliError("logging.tensorboard=true needs the tensorboard package: pip install tensorboard, or leave it false.") from reason
    return SummaryWriter(folder / "tensorboard", purge_step=resume_step)
