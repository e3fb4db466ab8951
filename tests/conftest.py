"""Where tests find real material, and small models that several test files share."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

SHARED = Path(__file__).resolve().parents[1].parent / "shared"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests marked `cuda` are skipped where there is no such device."""
    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("cuda"):
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


def _folder(name: str) -> Path:
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip(f"shared/{name} does not lie beside the checkout")
    return folder


@pytest.fixture(scope="session")
def flickr8k_root() -> Path:
    """All Flickr8k photographs at 224 x 224, and its annotation files."""
    return _folder("flickr8k")


@pytest.fixture(scope="session")
def human_captions(flickr8k_root: Path) -> list[list[str]]:
    """The five captions of each of the 1,000 test photographs."""
    names = dict.fromkeys((flickr8k_root / "Flickr_8k.testImages.txt").read_text(encoding="utf-8").split())
    captions: dict[str, list[str]] = {name: [] for name in names}
    for line in (flickr8k_root / "Flickr8k.token.txt").read_text(encoding="utf-8").splitlines():
        name, caption = line.split("\t", 1)
        if name[:-2] in captions:
            captions[name[:-2]].append(caption)
    assert [len(five) for five in captions.values()] == [5] * 1000
    return list(captions.values())


@pytest.fixture(scope="session")
def native_root() -> Path:
    """Some Flickr8k photographs at their native sizes."""
    return _folder("flickr8k_native")


@pytest.fixture(scope="session")
def weights_root() -> Path:
    """Pretrained encoders, GloVe and tokenizers."""
    return _folder("weights")


@pytest.fixture(autouse=True)
def one_seed() -> None:
    torch.manual_seed(0)
