"""Photographs made small, for small disks, and to travel to a machine with a GPU."""

from __future__ import annotations

import hashlib
import io
import re
from pathlib import Path

from PIL import Image

from soli.datasets import read_photograph
from soli.interfaces import SoliError

SMALLEST = 32  # pixels
QUALITY = 95  # of JPEG
STAMP = re.compile(rb"soli [0-9a-f]{64}")  # a comment in each copy
NO_STAMP = b"soli " + b"0" * 64
HEAD = 256  # bytes of a copy, in which its stamp is


def shrink(source: Path, target: Path, size: int) -> None:
    """Writes a copy, a JPEG file, upright and in RGB, its shorter side `size` pixels where it was longer; of a file that cannot be read
    the bytes as they are, so that it is found among all others of that kind."""
    original = source.read_bytes()
    try:
        photograph = Image.fromarray(read_photograph(source))
    except SoliError:
        target.write_bytes(original)
        return
    scale = min(1.0, size / min(photograph.size))
    sides = [max(1, round(side * scale)) for side in photograph.size]
    copy = io.BytesIO()
    photograph.resize(sides, Image.Resampling.LANCZOS).save(copy, "JPEG", quality=QUALITY, comment=NO_STAMP)
    target.write_bytes(copy.getvalue().replace(NO_STAMP, _stamp(original, size, copy.getvalue()), 1))


def is_copy(target: Path, source: Path, size: int) -> bool:
    """Whether a file is, byte for byte, what `shrink` has made of the source: its stamp tells, without making it again."""
    copy = target.read_bytes()
    found = STAMP.search(copy[:HEAD])
    return found is not None and found[0] == _stamp(source.read_bytes(), size, copy.replace(found[0], NO_STAMP, 1))


def _stamp(original: bytes, size: int, copy: bytes) -> bytes:
    """Of a photograph's file, the size that was asked for, and its copy without a stamp."""
    digest = hashlib.sha256(f"{size} {len(original)} ".encode())
    digest.update(original)
    digest.update(copy)
    return f"soli {digest.hexdigest()}".encode()
