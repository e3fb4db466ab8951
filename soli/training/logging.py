"""The log of a run: JSON lines in its folder, and TensorBoard on request."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from soli.interfaces import SoliError
from soli.json_text import parse_json


class MetricsLog:
    """Appends lines to `<run>/metrics.jsonl`; each has the step it belongs to. As a context manager it closes its files."""

    def __init__(self, folder: Path | None, tensorboard: bool = False, resume_step: int | None = None):
        """With `resume_step` the lines of later steps are dropped, so that a resumed log equals an uninterrupted one. Without a folder
        nothing is written: for all processes but the first.

        Raises SoliError when TensorBoard is wanted and not installed.
        """
        self._file = self._board = None
        if folder is None:
            return
        path = folder / "metrics.jsonl"
        if resume_step is not None and path.exists():
            _drop_after(path, resume_step)
        self._file = open(path, "a", encoding="utf-8")  # noqa: SIM115 - closed by close()
        self._board = _tensorboard(folder, resume_step) if tensorboard else None

    def write(self, step: int, **figures: Any) -> None:
        if self._file is None:
            return
        self._file.write(json.dumps({"step": step, **figures}) + "\n")
        self._file.flush()
        if self._board:
            kind = figures.get("kind", "train")
            for name, value in figures.items():
                if isinstance(value, (int, float)):
                    self._board.add_scalar(f"{kind}/{name}", value, step)

    def close(self) -> None:
        if self._file:
            self._file.close()
        if self._board:
            self._board.close()

    def __enter__(self) -> MetricsLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _drop_after(path: Path, step: int) -> None:
    """Keeps the lines up to `step`; a line that a crash cut short goes too."""
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            if parse_json(line)["step"] <= step:
                kept.append(line)
        except (ValueError, LookupError, TypeError):
            break
    temporary = path.with_suffix(".partial")
    temporary.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
    temporary.replace(path)


def _tensorboard(folder: Path, resume_step: int | None) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as reason:
        raise SoliError(
            "logging.tensorboard=true needs the tensorboard package: pip install 'soli[tensorboard]', or leave it false."
        ) from reason
    return SummaryWriter(folder / "tensorboard", purge_step=resume_step)
