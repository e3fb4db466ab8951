"""Photographs whose headers and pixels are damaged."""

from __future__ import annotations

import io
import warnings
from unittest.mock import patch

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from soli.datasets import check_photographs, read_photograph
from soli.interfaces import Example
from tests.fuzzing.strategies import damaged, folder_with, fuzz, only_sentences

MOST_PIXELS = 1_000_000  # here, so that a claim of a hundred million pixels costs nothing


def pictures() -> dict[str, bytes]:
    """A small photograph in every format that is read, in several of its kinds."""
    y, x = np.mgrid[0:12, 0:16]
    image = Image.fromarray(np.stack([15 * x, 20 * y, 255 - 15 * x], axis=2).astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    kinds = {
        "png": (image, {}),
        "palette.png": (image.quantize(16), {"transparency": 0}),
        "deep.png": (Image.fromarray((x * 4000).astype(np.uint16)), {}),
        "jpg": (image, {"exif": exif}),
        "progressive.jpg": (image.convert("CMYK"), {"progressive": True}),
        "gif": (image, {"save_all": True, "append_images": [image.rotate(90)]}),
        "bmp": (image, {}),
        "palette.bmp": (image.quantize(16), {}),
        "webp": (image, {}),
        "lossless.webp": (image, {"lossless": True, "exif": exif}),
        "tif": (image, {}),
        "packed.tif": (image, {"compression": "tiff_lzw", "exif": exif}),
        "ppm": (image, {}),
        "jp2": (image, {}),
    }
    found = {}
    for name, (picture, options) in kinds.items():
        buffer = io.BytesIO()
        suffix = name.rpartition(".")[2]
        picture.save(buffer, {"jpg": "JPEG", "tif": "TIFF", "jp2": "JPEG2000"}.get(suffix, suffix.upper()), **options)
        found[name] = buffer.getvalue()
    return found


PICTURES = pictures()


def test_undamaged_photographs_are_read() -> None:
    for name, content in PICTURES.items():
        with folder_with({name: content}) as folder:
            assert read_photograph(folder / name).shape in ((12, 16, 3), (16, 12, 3)), name


@given(name=st.sampled_from(sorted(PICTURES)), data=st.data())
@fuzz(300)
def test_damaged_photographs(name: str, data: st.DataObject) -> None:
    content = data.draw(damaged(PICTURES[name]))
    with folder_with({name: content}) as folder, patch("soli.datasets.images.MAX_PIXELS", MOST_PIXELS), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Pillow, about what it reads all the same
        with only_sentences():
            check_photographs([Example(name, (), folder / name)])
        with only_sentences():
            found = read_photograph(folder / name)
            assert found.dtype == np.uint8 and found.ndim == 3 and found.shape[2] == 3 and 0 < found.size <= 3 * MOST_PIXELS
