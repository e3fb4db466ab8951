"""Where tests find real material, and small models that several test files share."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

SHARED = Path(__file__).resolve().parents[1].parent / "shared"


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
