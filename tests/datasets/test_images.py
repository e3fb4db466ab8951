"""Photographs from files: every kind that must be read right, every kind that must be refused, and the check before training."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from soli.datasets import check_photographs, read_photograph, upright_rgb
from soli.interfaces import Example, SoliError


@pytest.fixture
def picture() -> np.ndarray:
    """Smooth colours, each corner another one, 24 x 40: what survives JPEG, and shows every rotation."""
    y, x = np.mgrid[0:24, 0:40]
    return np.stack([6 * x, 10 * y, 255 - 6 * x], axis=2).astype(np.uint8)


def png_header(width: int, height: int) -> bytes:
    """A PNG file that claims a size and has no pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def complaint(path: Path) -> str:
    with pytest.raises(SoliError) as caught:
        read_photograph(path)
    assert path.name in str(caught.value) and "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
def test_photographs_are_upright(tmp_path: Path, picture: np.ndarray, suffix: str, orientation: int) -> None:
    """Every orientation of EXIF, from the transposition that it names (EXIF 2.3, tag 0x0112)."""
    undo = {
        1: lambda array: array,
        2: lambda array: array[:, ::-1],
        3: lambda array: array[::-1, ::-1],
        4: lambda array: array[::-1],
        5: lambda array: array.transpose(1, 0, 2),
        6: lambda array: np.rot90(array, 1),
        7: lambda array: array[::-1, ::-1].transpose(1, 0, 2),
        8: lambda array: np.rot90(array, -1),
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.ascontiguousarray(undo[orientation](picture))
    path = tmp_path / f"picture.{suffix}"
    Image.fromarray(stored).save(path, exif=exif, quality=95, **({"lossless": True} if suffix == "webp" else {}))
    found = read_photograph(path)
    assert found.shape == picture.shape and found.dtype == np.uint8
    assert abs(found.astype(int) - picture).max() <= (12 if suffix == "jpg" else 0)


def test_an_upright_jpeg_is_what_opencv_reads(native_root: Path) -> None:
    for path in sorted(native_root.rglob("*.jpg"))[:5]:
        expected = cv2.imread(str(path))[:, :, ::-1]
        found = read_photograph(path)
        assert found.shape == expected.shape
        assert abs(found.astype(int) - expected).max() <= 3  # two builds of libjpeg-turbo


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_damaged_exif_does_not_matter(tmp_path: Path, picture: np.ndarray) -> None:
    path = tmp_path / "odd.jpg"
    Image.fromarray(picture).save(path, quality=95, exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01\x12broken")
    assert read_photograph(path).shape == picture.shape


def test_greyscale_becomes_three_equal_channels(tmp_path: Path) -> None:
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    assert (read_photograph(tmp_path / "grey.png") == grey[:, :, None]).all()


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_are_scaled_and_not_clipped(tmp_path: Path, suffix: str) -> None:
    values = np.array([[0, 128, 129, 257, 32768, 65535]], np.uint16)
    cv2.imwrite(str(tmp_path / f"deep.{suffix}"), values)
    assert read_photograph(tmp_path / f"deep.{suffix}")[0, :, 0].tolist() == [0, 0, 1, 1, 128, 255]


def test_sixteen_bit_colours_are_scaled(tmp_path: Path) -> None:
    values = np.array([[[0, 30000, 65535], [65535, 257, 0]]], np.uint16)  # blue, green, red
    cv2.imwrite(str(tmp_path / "deep.png"), values)
    assert abs(read_photograph(tmp_path / "deep.png").astype(int) - np.rint(values[:, :, ::-1] / 257)).max() <= 1


def test_palette(tmp_path: Path, picture: np.ndarray) -> None:
    image = Image.fromarray(picture).quantize(200)
    image.save(tmp_path / "palette.png")
    image.save(tmp_path / "palette.gif")
    colours = np.array(image.getpalette()).reshape(-1, 3)[np.array(image)]
    assert (read_photograph(tmp_path / "palette.png") == colours).all()
    assert (read_photograph(tmp_path / "palette.gif") == colours).all()


def test_transparency_is_composited_on_white(tmp_path: Path) -> None:
    pixels = np.array([[[200, 0, 100, 255], [200, 0, 100, 0], [200, 0, 100, 51]]], np.uint8)
    Image.fromarray(pixels).save(tmp_path / "colour.png")
    assert read_photograph(tmp_path / "colour.png")[0].tolist() == [[200, 0, 100], [255, 255, 255], [244, 204, 224]]
    Image.fromarray(pixels[:, :, [0, 3]], "LA").save(tmp_path / "grey.png")
    assert read_photograph(tmp_path / "grey.png")[0, :, 0].tolist() == [200, 255, 244]


@pytest.mark.parametrize(("mode", "colour", "expected"), [("P", 1, (10, 20, 30)), ("L", 7, (7, 7, 7)), ("RGB", (1, 2, 3), (1, 2, 3))])
def test_a_transparent_colour_becomes_white(tmp_path: Path, mode: str, colour: int | tuple, expected: tuple[int, ...]) -> None:
    image = Image.new(mode, (2, 1), colour)
    if mode == "P":
        image.putpalette([200, 0, 0, 10, 20, 30])
    transparent = 0 if mode != "RGB" else (0, 0, 0)
    image.putpixel((1, 0), transparent)
    image.save(tmp_path / "transparent.png", transparency=transparent)
    assert read_photograph(tmp_path / "transparent.png")[0].tolist() == [list(expected), [255, 255, 255]]


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    """Pure inks: no ink is white, cyan has no red. The JPEG file stores them inverted, as Adobe's programs do."""
    for ink, expected in (
        ((0, 0, 0, 0), (255, 255, 255)),
        ((255, 0, 0, 0), (0, 255, 255)),
        ((0, 0, 255, 0), (255, 255, 0)),
        ((0, 0, 0, 255), (0, 0, 0)),
    ):
        Image.new("CMYK", (16, 16), ink).save(tmp_path / "ink.jpg", quality=95)
        assert abs(read_photograph(tmp_path / "ink.jpg").astype(int) - expected).max() <= 3


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (20_000, 2), (1, 20_000)])
@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_extreme_sides(tmp_path: Path, size: tuple[int, int], suffix: str) -> None:
    path = tmp_path / f"extreme.{suffix}"
    Image.new("RGB", size, (10, 200, 30)).save(path)
    assert read_photograph(path).shape == (size[1], size[0], 3)
    check_photographs([Example("extreme", (), path)])


@pytest.mark.parametrize("size", [(20_000, 8_901), (20_000, 20_000), (1_000_000, 1_000_000)])
def test_too_many_pixels_are_refused_before_decoding(tmp_path: Path, size: tuple[int, int]) -> None:
    path = tmp_path / "huge.png"
    path.write_bytes(png_header(*size))
    assert "more than 178 million pixels" in complaint(path)
    with pytest.raises(SoliError, match="178 million"):
        check_photographs([Example("huge", (), path)])


def test_the_unreadable_say_why(tmp_path: Path, picture: np.ndarray) -> None:
    assert "does not exist" in complaint(tmp_path / "missing.jpg")
    (tmp_path / "empty.jpg").touch()
    assert "empty file" in complaint(tmp_path / "empty.jpg")
    (tmp_path / "words.jpg").write_text("not a photograph")
    assert "no image" in complaint(tmp_path / "words.jpg")
    (tmp_path / "folder.jpg").mkdir()
    assert "is a directory" in complaint(tmp_path / "folder.jpg")
    (tmp_path / "drawing.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")  # Pillow would start Ghostscript
    assert "no image" in complaint(tmp_path / "drawing.eps")
    Image.fromarray(np.full((4, 4), 0.5, np.float32)).save(tmp_path / "float.tif")
    assert "32-bit" in complaint(tmp_path / "float.tif")
    Image.fromarray(np.full((4, 4), 70_000, np.int32)).save(tmp_path / "long.tif")
    assert "32-bit" in complaint(tmp_path / "long.tif")


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "gif", "bmp", "tif"])
def test_truncated_files_are_refused(tmp_path: Path, suffix: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    path = tmp_path / f"short.{suffix}"
    Image.fromarray(noise).save(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(0.6 * len(data))])
    assert "cannot be read" in complaint(path) or "no image" in complaint(path)
    with pytest.raises(SoliError, match=f"short.{suffix}"):
        check_photographs([Example("short", (), path)])


def test_the_check_names_all_that_cannot_be_read(tmp_path: Path, picture: np.ndarray) -> None:
    examples = []
    for number in range(30):
        path = tmp_path / f"{number:02d}.jpg"
        Image.fromarray(picture).save(path)
        if number % 5:
            path.write_bytes(path.read_bytes()[:-20])
        examples.append(Example(path.name, (), path))
    with pytest.raises(SoliError) as caught:
        check_photographs([*examples, *examples, Example("drawn", ())])  # each file is looked at once
    message = str(caught.value)
    assert message.startswith("24 of 30 photographs cannot be used")
    assert [f"{number:02d}.jpg" in message for number in range(30)] == [number % 5 != 0 and number < 25 for number in range(30)]
    assert message.endswith("and 4 more")


def test_the_check_accepts_what_is_readable(tmp_path: Path, picture: np.ndarray) -> None:
    for number, image in enumerate((picture, picture[:, :, 0])):
        for suffix in ("jpg", "png", "webp", "gif", "bmp", "tif"):
            Image.fromarray(image).save(tmp_path / f"{number}.{suffix}")
    trailing = tmp_path / "trailing.jpg"
    Image.fromarray(picture).save(trailing)
    trailing.write_bytes(trailing.read_bytes() + bytes(5) + b"whatever a camera appends" * 9)
    check_photographs([Example(path.name, (), path) for path in tmp_path.iterdir()])


def test_the_check_decodes_no_sound_jpeg(tmp_path: Path, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("soli.datasets.images.read_photograph", lambda path: pytest.fail(f"{path} was decoded"))
    Image.fromarray(picture).save(tmp_path / "sound.jpg")
    Image.fromarray(picture).save(tmp_path / "sound.png")
    check_photographs([Example(path.name, (), path) for path in tmp_path.iterdir()])


@pytest.mark.parametrize("number", [2, 3])
def test_a_long_check_shows_its_progress(
    tmp_path: Path, picture: np.ndarray, number: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr("soli.datasets.images.SHOW_PROGRESS_FROM", 3)
    for index in range(number):
        Image.fromarray(picture).save(tmp_path / f"{index}.png")
    check_photographs([Example(path.name, (), path) for path in tmp_path.iterdir()])
    assert ("checking photographs" in capsys.readouterr().err) == (number == 3)


def test_pillow_images_are_taken_too(picture: np.ndarray) -> None:
    assert (upright_rgb(Image.fromarray(picture)) == picture).all()
    with pytest.raises(SoliError, match="The image has the mode La"):
        upright_rgb(Image.new("La", (2, 2)))
    with pytest.raises(SoliError, match="The image has 32-bit pixels"):
        upright_rgb(Image.new("F", (2, 2)))
