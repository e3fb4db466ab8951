"""What a damaged checkpoint, or one that a stranger made up, could hold: looked at before anything is done with it."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from soli.hub import first_line
from soli.interfaces import SoliError


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


KINDS: dict[str, Callable[[Any], bool]] = {  # of the values of a Progress, by their annotations
    "int": lambda value: isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 53,
    "int | None": lambda value: value is None or KINDS["int"](value),
    "bool": lambda value: isinstance(value, bool),
    "float | None": lambda value: value is None or _is_number(value),
    "dict[str, float]": lambda value: isinstance(value, dict) and all(map(_is_number, value.values())),
}


def check_progress(progress: Any) -> None:
    """Raises ValueError for values of other types than a Progress (soli/training/progress.py) has, and for numbers below 0."""
    for place in fields(progress):
        value = getattr(progress, place.name)
        if not KINDS[str(place.type)](value):
            raise ValueError(f"its {place.name} is {str(value)[:60]!r}")
    if progress.sums and progress.batch <= progress.skipped:
        raise ValueError(f"it has left out {progress.skipped} of {progress.batch} steps")


def checksum(tensors: Mapping[str, Tensor]) -> str:
    """Eight hexadecimal digits (CRC-32) of all numbers, in the order of their names: a single bit that a disk has changed changes them."""
    total = 0
    for name in sorted(tensors):
        total = zlib.crc32(tensors[name].reshape(-1).view(torch.uint8).numpy(), total)
    return f"{total:08x}"


def check_shapes(path: Path, shapes: Mapping[str, tuple[int, ...]], expected: Mapping[str, Tensor]) -> None:
    """Raises SoliError for weights that are missing, unknown or of other shapes than the `expected` ones."""
    wrong = [name for name in expected.keys() | shapes.keys() if name not in expected or shapes.get(name) != tuple(expected[name].shape)]
    if wrong:
        raise SoliError(
            f"{path} belongs to another architecture: {len(wrong)} weights differ, {min(wrong)} among them. Use the config of its own run."
        )


@contextmanager
def belonging(path: Path, part: str) -> Iterator[None]:
    """Turns whatever `part` raises for a state that is not its own into a SoliError."""
    try:
        yield
    except (RuntimeError, LookupError, TypeError, ValueError, AttributeError) as reason:
        raise SoliError(f"{path} is damaged: its state of the {part} does not fit ({first_line(reason)}). Start a new run.") from reason
