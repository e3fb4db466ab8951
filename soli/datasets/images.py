"""Photographs from files: any common format to upright RGB, and a fast check that finds all unreadable files before training starts."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from tqdm import tqdm

from soli.interfaces import Example, SoliError
from soli.printing import first_few

MAX_PIXELS = 178_000_000  # Pillow's own limit is a little above; three bytes each are half a gigabyte
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000")  # no format that starts another program
FINAL_BYTES = {"JPEG": b"\xff\xd9", "MPO": b"\xff\xd9", "PNG": b"IEND\xaeB`\x82"}  # end-of-image marker; last chunk with its checksum
SHOW_PROGRESS_FROM = 2000  # photographs
MAX_NAMED = 20


def read_photograph(path: str | os.PathLike[str]) -> np.ndarray:
    """The photograph in a file as upright RGB, uint8 (H, W, 3).

    The EXIF orientation is applied, transparency is composited on white, 16-bit greyscale is scaled to 8 bits, CMYK, palette and greyscale
    become RGB, of an animation the first picture counts. Colour profiles are not applied.

    Raises:
        SoliError: the file is missing, empty, truncated or no image, or has pixels of no known scale (32 bits, float) or over 178 million.
    """
    try:
        with _open(path) as image:
            image.load()
            return upright_rgb(image, f"The photograph {path}")
    except SoliError:
        raise
    except Exception as error:  # a decoder may raise nearly anything for a damaged file
        raise SoliError(f"The photograph {path} cannot be read: {_reason(error)}.") from error


def upright_rgb(image: Image.Image, name: str = "The image") -> np.ndarray:
    """A Pillow image as read_photograph returns it: uint8 (H, W, 3), upright, RGB.

    Raises:
        SoliError: the pixels have no known scale (32 bits, float), or the mode has no way to RGB; the message begins with `name`.
    """
    image = _upright(image)
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = _eight_bits(image, name)
    try:
        if image.mode in ("RGBA", "LA", "PA", "RGBa") or "transparency" in image.info:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        return np.array(image.convert("RGB"))
    except ValueError as error:
        raise SoliError(f"{name} has the mode {image.mode}, which cannot become RGB: save it as RGB.") from error


def check_photographs(examples: Iterable[Example]) -> dict[Path, tuple[int, int]]:
    """Find every photograph that cannot be read. Returns the sizes of all files, (height, width) before EXIF's orientation.

    A JPEG or PNG file counts as readable when its header is sound, its size is allowed and its end is there; any other file, or one in
    doubt, is decoded.

    Raises:
        SoliError: one message that counts the unreadable photographs and names the first twenty, with reasons.
    """
    paths = _paths(examples)
    sizes: dict[Path, tuple[int, int]] = {}
    complaints = _complaints(paths, sizes)
    if complaints:
        raise SoliError(about_unreadable(complaints, len(paths)))
    return sizes


def unreadable(examples: Iterable[Example]) -> list[str]:
    """A sentence for each photograph that cannot be read, found as check_photographs finds them."""
    return _complaints(_paths(examples), {})


def about_unreadable(complaints: Sequence[str], num_photographs: int) -> str:
    """What `unreadable` has found among so many photographs, in one message that names the first twenty."""
    listed = first_few(complaints, MAX_NAMED, between="\n  ")
    return f"{len(complaints)} of {num_photographs} photographs cannot be used; replace them or take them out:\n  {listed}"


def _paths(examples: Iterable[Example]) -> list[Path]:
    """Each file once."""
    return list(dict.fromkeys(example.path for example in examples if example.path is not None))


def _complaints(paths: Sequence[Path], sizes: dict[Path, tuple[int, int]]) -> list[str]:
    progress = tqdm(paths, desc="checking photographs", unit="", leave=False, disable=len(paths) < SHOW_PROGRESS_FROM)
    return [complaint for path in progress if (complaint := _complaint(path, sizes)) is not None]


def _complaint(path: Path, sizes: dict[Path, tuple[int, int]]) -> str | None:
    """Why a photograph cannot be read, in a sentence, or None; its size is put into `sizes`."""
    try:
        with _open(path) as image:
            sizes[path] = (image.height, image.width)
            final_bytes = FINAL_BYTES.get(image.format)
        if final_bytes is None or not _ends_with(path, final_bytes):
            read_photograph(path)
    except SoliError as error:
        return str(error)
    return None


def _ends_with(path: Path, final_bytes: bytes) -> bool:
    with open(path, "rb") as file:
        file.seek(-min(64, os.path.getsize(path)), os.SEEK_END)
        return file.read().rstrip(b"\0\r\n").endswith(final_bytes)


def _open(path: str | os.PathLike[str]) -> Image.Image:
    """The image with its header read. Raises SoliError as read_photograph does."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(path, formats=FORMATS)
    except FileNotFoundError as error:
        raise SoliError(f"The photograph {path} does not exist: check its path.") from error
    except Image.DecompressionBombError as error:
        raise SoliError(_too_large(path)) from error
    except UnidentifiedImageError as error:
        if os.path.getsize(path) == 0:
            raise SoliError(f"The photograph {path} is an empty file.") from error
        raise SoliError(f"The file {path} is no image in a format that is read here ({', '.join(FORMATS)}).") from error
    except Exception as error:
        raise SoliError(f"The photograph {path} cannot be read: {_reason(error)}.") from error
    if image.width * image.height > MAX_PIXELS:
        image.close()
        raise SoliError(_too_large(path, f" ({image.width} x {image.height})"))
    return image


def _too_large(path: str | os.PathLike[str], size: str = "") -> str:
    return f"The photograph {path}{size} has more than {MAX_PIXELS // 1_000_000} million pixels: make it smaller first."


def _reason(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "it needs more memory than there is"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error).rstrip(".") or type(error).__name__


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # damaged EXIF data say nothing about the orientation; the picture itself was read
        return image


def _eight_bits(image: Image.Image, name: str) -> Image.Image:
    values = np.asarray(image)
    if image.mode == "F" or values.min() < 0 or values.max() > 65535:
        raise SoliError(f"{name} has 32-bit pixels, whose scale is unknown: save it with 8 or 16 bits per channel.")
    return Image.fromarray(np.rint(values / 257).astype(np.uint8))  # 65535 -> 255
