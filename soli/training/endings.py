"""What a training says when it cannot go on for now: a photograph that is gone, a process that was killed. It may be resumed."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from soli.interfaces import BrokenWeights, SoliError

Item = TypeVar("Item")


def advice(folder: Path) -> str:
    """How a training is continued."""
    return f"continue with python -m soli.train {shlex.quote(f'resume={folder}')}"


@contextmanager
def interruptible(folder: Path) -> Iterator[None]:
    """Ctrl-C on the way, before anything answers it with more, says how to go on."""
    try:
        yield
    except KeyboardInterrupt as reason:
        raise KeyboardInterrupt(str(reason) or f"Interrupted; {advice(folder)}") from reason


@contextmanager
def resumable(folder: Path) -> Iterator[None]:
    """A SoliError on the way, whose cause lies outside the run, says also how to go on once it is mended."""
    try:
        yield
    except BrokenWeights:
        raise
    except SoliError as reason:
        if "resume=" in str(reason):
            raise
        raise SoliError(f"{reason} Training stops, and the last checkpoint stays: mend this, then {advice(folder)}.") from reason


def told_of(items: Iterator[Item], folder: Path) -> Iterator[Item]:
    """The items; an error in making them is told as `resumable` does. Closing it closes them."""
    with resumable(folder):
        yield from items
