"""Small files that claim, or unpack to, enormous photographs: each is refused in a sentence, within little memory.

They are read in a process of its own, whose memory is limited by the system.
"""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

IMAGES = Path(__file__).parents[2] / "soli" / "datasets" / "images.py"
SPARE = 400_000_000  # bytes, above what the process has when it has imported all it needs; the photographs would take 700 million and more

READ = """
import importlib.util, json, resource, sys
from pathlib import Path
from PIL import Image
specification = importlib.util.spec_from_file_location("images", sys.argv[1])  # without soli.datasets, which imports PyTorch
images = importlib.util.module_from_spec(specification)
specification.loader.exec_module(images)
Image.init()
taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + int(sys.argv[2]),) * 2)
said = {}
for path in sorted(Path(sys.argv[3]).iterdir()):
    try:
        said[path.name] = f"read, {images.read_photograph(path).shape}"
    except images.SoliError as reason:
        said[path.name] = str(reason)
print(json.dumps(said))
"""


def png(width: int, height: int, *chunks: tuple[bytes, bytes], pixels: bytes = b"") -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    others = b"".join(chunk(kind, data) for kind, data in chunks)
    return b"\x89PNG\r\n\x1a\n" + header + others + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")


def tiff(width: int, height: int) -> bytes:
    tags = [
        (256, 4, width),
        (257, 4, height),
        (258, 3, 8),
        (259, 3, 1),
        (262, 3, 1),
        (273, 4, 8),
        (277, 3, 1),
        (278, 4, height),
        (279, 4, 9),
    ]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    return b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(tags)) + entries + bytes(4)


def jpeg2000(width: int, height: int) -> bytes:
    """A codestream of one component in one tile."""
    size = struct.pack(">HIIIIIIIIH", 0, width, height, 0, 0, width, height, 0, 0, 1) + bytes([7, 1, 1])
    return b"\xff\x4f\xff\x51" + struct.pack(">H", len(size) + 2) + size


def webp(width: int, height: int) -> bytes:
    """The extended header, then a frame that is not there."""
    extended = bytes(4) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    chunks = b"WEBPVP8X" + struct.pack("<I", 10) + extended + b"VP8 " + struct.pack("<I", 10) + bytes(10)
    return b"RIFF" + struct.pack("<I", len(chunks)) + chunks


def bmp(width: int, height: int) -> bytes:
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 1, 1, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + header


def jpeg(width: int, height: int) -> bytes:
    frame = struct.pack(">BHHB", 8, height, width, 3) + bytes([1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0])
    return (
        b"\xff\xd8\xff\xc0"
        + struct.pack(">H", len(frame) + 2)
        + frame
        + b"\xff\xda\x00\x0c\x03\x01\x00\x02\x00\x03\x00\x00\x3f\x00"
        + b"\xff\xd9"
    )


def gif(width: int, height: int, frame: tuple[int, int]) -> bytes:
    image = b"\x2c" + struct.pack("<HHHHB", 0, 0, *frame, 0) + b"\x02\x02\x4c\x01\x00"
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6) + image + b"\x3b"


BOMB = zlib.compress(bytes(300_000_000), 9)  # 290 kB
TOO_LARGE, NOT_READ = "more than 178 million pixels", "cannot be read"
FILES = {
    "ihdr.png": (png(100_000, 100_000), TOO_LARGE),
    "just_above.png": (png(20_000, 8_901), TOO_LARGE),
    "largest.png": (png(0x7FFFFFFF, 0x7FFFFFFF), TOO_LARGE),
    "ztxt.png": (png(4, 4, (b"zTXt", b"Comment\0\0" + BOMB)), NOT_READ),
    "itxt.png": (png(4, 4, (b"iTXt", b"Comment\0\1\0\0\0" + BOMB)), NOT_READ),
    "profile.png": (png(2, 2, (b"iCCP", b"icc\0\0" + BOMB), pixels=(b"\0" + bytes(6)) * 2), "read|cannot be read"),
    "pixels.png": (png(2, 2, pixels=bytes(300_000_000)), "read|cannot be read"),
    "frame.jpg": (jpeg(65_500, 65_500), TOO_LARGE),
    "above.jpg": (jpeg(20_000, 8_901), TOO_LARGE),
    "screen.gif": (gif(65_535, 65_535, (4, 4)), TOO_LARGE),
    "frame.gif": (gif(4, 4, (65_535, 65_535)), TOO_LARGE),
    "header.bmp": (bmp(0x7FFFFFFF, 0x7FFFFFFF), TOO_LARGE),
    "turned.bmp": (bmp(100_000, -100_000), TOO_LARGE),
    "header.tif": (tiff(0xFFFFFFFF, 0xFFFFFFFF), TOO_LARGE),
    "extended.webp": (webp(16_384, 16_384), f"{TOO_LARGE}|{NOT_READ}"),
    "wide.webp": (webp(1 << 24, 200), f"{TOO_LARGE}|{NOT_READ}"),
    "header.ppm": (b"P6 100000 100000 255\n", TOO_LARGE),
    "plain.pgm": (b"P2 20000 8901 255\n1 2", TOO_LARGE),
    "digits.ppm": (b"P6 " + b"9" * 100_000 + b" 5 255\n", f"{NOT_READ}|no image"),
    "size.j2k": (jpeg2000(0xFFFFFFFF, 0xFFFFFFFF), TOO_LARGE),
    "icon.ico": (b"\0\0\1\0\1\0" + bytes([0, 0, 0, 0, 1, 0, 32, 0]) + struct.pack("<II", 100, 22) + png(30_000, 30_000), "no image"),
    "script.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99999 99999\n", "no image"),
    "flexible.fli": (struct.pack("<IHHHHH", 128, 0xAF11, 1, 60_000, 60_000, 8) + bytes(116), "no image"),
    "frames.psd": (b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, 300_000, 300_000, 8, 3) + bytes(20), "no image"),
}


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What is said of each of the files."""
    if not Path("/proc/self/statm").is_file():
        pytest.skip("memory is limited by way of /proc here")
    folder = tmp_path_factory.mktemp("bombs")
    for name, (content, _) in FILES.items():
        assert len(content) < 400_000
        (folder / name).write_bytes(content)
    command = [sys.executable, "-c", READ, str(IMAGES), str(SPARE), str(folder)]
    answer = subprocess.run(command, capture_output=True, text=True, cwd=IMAGES.parents[2], timeout=300)
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout)


@pytest.mark.parametrize("name", FILES)
def test_a_small_file_cannot_take_all_memory(said: dict[str, str], name: str) -> None:
    found = [text for text in FILES[name][1].split("|") if text in said[name]]
    assert (found and "memory" not in said[name] and name in said[name]) or said[name].startswith("read, (2, 2, 3)"), said[name]
