"""Folders of photographs with caption files, as tests of the readers need them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from PIL import Image

Make = Callable[..., Path]


@pytest.fixture
def make_root(tmp_path: Path) -> Make:
    """make_root(photographs, {file: text or bytes}): a folder with these photographs, each of another colour, and these files."""

    def make(photographs: list[str], files: Mapping[str, str | bytes], image_folder: str = "images") -> Path:
        root = tmp_path / "root"
        (root / image_folder).mkdir(parents=True)
        for number, name in enumerate(photographs):
            path = root / image_folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 6), (number, 9 * number, 100)).save(path)
        for name, content in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return root

    return make
