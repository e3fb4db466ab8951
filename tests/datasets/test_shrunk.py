"""Copies that were shrunk before are noticed where the user has not said so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from soli.datasets import Flickr8kDataset, KarpathyDataset, ToyDataset, about_shrunk, missing_reference_side
from tests.test_commands import SMALL, run  # noqa: F401 - a fixture


def karpathy_root(root: Path, name: str, sides: list[int]) -> str:
    (root / "images").mkdir(parents=True)
    entries = []
    for number, side in enumerate(sides):
        Image.new("RGB", (side * 3 // 4, side), (number, 0, 0)).save(root / "images" / f"{number}.jpg")
        entries.append({"filename": f"{number}.jpg", "split": "train", "sentences": [{"raw": "a dog"}]})
    (root / f"dataset_{name}.json").write_text(json.dumps({"images": entries}), encoding="utf-8")
    return str(root)


@pytest.mark.parametrize(
    ("name", "sides", "expected"),
    [
        ("flickr8k", [224] * 10, 500),
        ("flickr8k", [500] * 10, None),
        ("flickr8k", [224] * 8 + [500] * 2, None),  # some originals are small themselves
        ("flickr30k", [256] * 10, 500),
        ("coco", [500] * 10, 640),
        ("coco", [640] * 10, None),
        ("mine", [224] * 10, None),  # whose originals nobody knows
    ],
)
def test_shrunk_copies_are_noticed(tmp_path: Path, name: str, sides: list[int], expected: int | None) -> None:
    root = karpathy_root(tmp_path / "root", name, sides)
    assert missing_reference_side(KarpathyDataset(name, root)) == expected
    assert missing_reference_side(KarpathyDataset(name, root, reference_side=500)) is None


def test_pictures_that_are_drawn_are_their_own_originals() -> None:
    assert missing_reference_side(ToyDataset()) is None


def test_photographs_that_cannot_be_read_are_passed_over(tmp_path: Path) -> None:
    root = karpathy_root(tmp_path / "root", "flickr8k", [224] * 4)
    (tmp_path / "root" / "images" / "0.jpg").write_bytes(b"no photograph")
    (tmp_path / "root" / "images" / "1.jpg").unlink()
    assert missing_reference_side(Flickr8kDataset(root, partial=True)) == 500


def test_the_small_copies_of_flickr8k(flickr8k_root: Path) -> None:
    assert missing_reference_side(Flickr8kDataset(str(flickr8k_root))) == 500


def test_training_and_evaluation_say_so(run, tmp_path: Path) -> None:  # noqa: F811
    root = Path(karpathy_root(tmp_path / "root", "flickr8k", [64] * 6))
    content = json.loads((root / "dataset_flickr8k.json").read_text(encoding="utf-8"))
    for number, entry in enumerate(content["images"]):
        entry["split"] = ("train", "val", "test")[number % 3]
    (root / "dataset_flickr8k.json").write_text(json.dumps(content), encoding="utf-8")
    folder, of_photographs = tmp_path / "run", ["dataset=flickr8k", f"dataset.root={root}"]
    answer = run("train", *SMALL[3:], *of_photographs, f"run_dir={folder}")
    assert answer.code == 0 and f"  {about_shrunk(500)}\n" in answer.out, answer.err
    evaluated = ["evaluate", f"run={folder}", "metrics=[CIDEr]", "conditions=[original]"]
    assert "Ratios are of these copies" in run(*evaluated).out
    config = (folder / "config.yaml").read_text(encoding="utf-8")
    (folder / "config.yaml").write_text(config.replace("reference_side: null", "reference_side: 500"), encoding="utf-8")
    answer = run(*evaluated)
    assert answer.code == 0 and "Ratios are of these copies" not in answer.out, answer.err
