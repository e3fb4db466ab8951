"""The files that documented commands read, drawn and at random: photographs with captions, word vectors, pretrained weights."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torchvision
import transformers
from PIL import Image

from soli.datasets import ToyDataset
from soli.interfaces import Example
from tests.documents.parsing import documents, python_examples
from tests.small_captioners import make_pictures

GLOVE_DIM = 50
VIT = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "patch_size": 16}
RESNETS = ("resnet18", "resnet101")


def write_files(folder: Path) -> None:
    """All of them, under the names that documents use."""
    write_flickr8k(folder / "data" / "flickr8k")
    write_own_photographs(folder / "data" / "mine")
    write_glove(folder / "data" / "glove" / f"glove.6B.{GLOVE_DIM}d.txt")
    write_vit(folder / "vit-tiny")
    write_own_part(folder / "mine")
    for name in RESNETS:
        write_resnet(name, folder / "torch" / "hub" / "checkpoints")
    pictures = make_pictures(folder / "photographs", count=2, size=(48, 40))
    for name, picture in zip(("a.jpg", "b.jpg"), pictures, strict=True):
        Image.open(picture).save(folder / name)


def write_flickr8k(root: Path) -> None:
    """Drawn pictures in the layout of Flickr8k."""
    images = []
    for name, split, example, picture in _drawn():
        _save(picture, root / "images" / name)
        images.append({"filename": name, "split": split, "sentences": [{"raw": caption} for caption in example.captions]})
    (root / "dataset_flickr8k.json").write_text(json.dumps({"images": images}), encoding="utf-8")


def write_own_photographs(root: Path) -> None:
    rows = []
    for name, split, example, picture in _drawn():
        _save(picture, root / name)
        rows += [{"image": name, "caption": caption, "split": split} for caption in example.captions]
    with open(root / "captions.csv", "w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, ["image", "caption", "split"])
        table.writeheader()
        table.writerows(rows)


def write_own_part(folder: Path) -> None:
    """The encoder that README.md shows as a user's, and a yaml for it."""
    (folder / "configs" / "encoder").mkdir(parents=True)
    (shown,) = [example.text for example in python_examples("README.md", documents()["README.md"]) if "class Grid(" in example.text]
    (folder / "my_parts.py").write_text(shown, encoding="utf-8")
    arguments = "".join(f"{key}: {value}\n" for key, value in {"feature_dim": 32, "input_size": 32}.items())
    (folder / "configs" / "encoder" / "grid.yaml").write_text(f"_target_: my_parts.Grid\n{arguments}", encoding="utf-8")


def write_glove(path: Path) -> None:
    words = sorted({word for _, _, example, _ in _drawn() for caption in example.captions for word in caption.split()})
    path.parent.mkdir(parents=True)
    numbers = np.random.default_rng(0).normal(size=(len(words), GLOVE_DIM)).round(3)
    path.write_text("".join(f"{word} {' '.join(map(str, row))}\n" for word, row in zip(words, numbers, strict=True)), encoding="utf-8")


def write_vit(folder: Path) -> None:
    transformers.ViTModel(transformers.ViTConfig(**VIT, image_size=32), add_pooling_layer=False).save_pretrained(folder)


def write_resnet(name: str, folder: Path) -> Path:
    """The file that torchvision would download, with the stem and the first stage only. Returns it."""
    with torch.device("meta"):
        described = getattr(torchvision.models, name)().state_dict()
    kept = {key: value for key, value in described.items() if not key.startswith(("layer2", "layer3", "layer4", "fc"))}
    state = {key: torch.rand(value.shape) if value.is_floating_point() else torch.zeros(value.shape) for key, value in kept.items()}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / torchvision.models.get_model_weights(name)["DEFAULT"].url.rpartition("/")[2]
    torch.save({key: 0.1 * value if value.ndim == 4 else value for key, value in state.items()}, path)
    return path


def _drawn() -> Iterator[tuple[str, str, Example, np.ndarray]]:
    """A name, a split, the captions and the picture (H, W, 3), of twelve, four and four."""
    toy = ToyDataset(num_train=12, num_val=4, num_test=4)
    for split in toy.splits:
        for number, example in enumerate(toy.examples(split)):
            yield f"{split}{number}.jpg", split, example, toy.read_image(example)


def _save(picture: np.ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).resize((80, 60)).save(path)
