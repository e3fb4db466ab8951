"""Photographs made small, for small disks, and to travel to a machine with a GPU."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from soli.datasets import read_photograph
from soli.interfaces import SoliError

SMALLEST = 32  # pixels
QUALITY = 95  # of JPEG


def shrink(source: Path, target: Path, size: int) -> None:
    """Writes a copy, a JPEG file, upright and in RGB, its shorter side `size` pixels where it was longer; of a file that cannot be read
    the bytes as they are, so that it is found among all others of that kind."""
    try:
        photograph = Image.fromarray(read_photograph(source))
    except SoliError:
        target.write_bytes(source.read_bytes())
        return
    scale = min(1.0, size / min(photograph.size))
    sides = [max(1, round(side * scale)) for side in photograph.size]
    photograph.resize(sides, Image.Resampling.LANCZOS).save(target, "JPEG", quality=QUALITY)
