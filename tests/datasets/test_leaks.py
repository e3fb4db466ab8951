"""Leak checks, on made folders where every count is known, and on Flickr8k."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from soli.datasets import Flickr8kDataset, FolderDataset, ToyDataset, find_leaks
from soli.interfaces import Example, SoliError

NAMES = [f"{letter}.png" for letter in "abcdef"]
CSV = """image,caption,split
a.png,A dog runs.,train
b.png,A cat sleeps,train
c.png,Nothing,train
d.png,A bird,val
e.png,"a  dog, runs!",test
e.png,A dog,test
f.png,A bird,test
a.png,Something else,test
"""


@pytest.fixture
def folder(make_root) -> FolderDataset:
    root = make_root(NAMES, {"captions.csv": CSV})
    shutil.copy(root / "images/a.png", root / "images/d.png")  # across train and val
    shutil.copy(root / "images/b.png", root / "images/c.png")  # within train
    return FolderDataset(str(root))


def test_each_leak_is_counted(folder: FolderDataset) -> None:
    leaks = find_leaks(folder)
    assert leaks["images_in_two_splits"] == {"count": 1, "examples": ["a.png"]}
    assert leaks["byte_identical_within_a_split"] == {"count": 1, "examples": [["train: b.png", "train: c.png"]]}
    assert leaks["training_captions_in_test_references"] == {"count": 1, "examples": ["a dog, runs!"]}
    across = leaks["byte_identical_across_splits"]
    assert across["count"] == 1 and sorted(name.split()[1] for name in across["examples"][0]) == ["a.png", "d.png"]
    assert json.loads(json.dumps(leaks)) == leaks


def test_equal_sizes_and_ends_are_not_yet_equal_photographs(folder: FolderDataset) -> None:
    """Two files that differ in their first bytes only."""
    path = folder.image_folder / "f.png"
    path.write_bytes(b"\0" + (folder.image_folder / "e.png").read_bytes()[1:] + bytes(5000))
    (folder.image_folder / "e.png").write_bytes(b"\1" + path.read_bytes()[1:])
    assert find_leaks(folder)["byte_identical_within_a_split"]["count"] == 1  # b and c, as before
    shutil.copy(path, folder.image_folder / "e.png")
    assert find_leaks(folder)["byte_identical_within_a_split"]["count"] == 2


def test_only_few_names_are_given(make_root) -> None:
    names = [f"{number}.png" for number in range(40)]
    text = "image,caption,split\n" + "".join(
        f"{name},same words,{'train' if number < 20 else 'test'}\n" for number, name in enumerate(names)
    )
    found = find_leaks(FolderDataset(str(make_root(names, {"captions.csv": text}))))["training_captions_in_test_references"]
    assert found["count"] == 20 and len(found["examples"]) == 5


def test_a_missing_photograph_is_named(folder: FolderDataset) -> None:
    (folder.image_folder / "b.png").unlink()
    with pytest.raises(SoliError, match=r"b\.png cannot be read: no such file"):
        find_leaks(folder)


def test_a_photograph_whose_end_cannot_be_read_is_named(folder: FolderDataset, monkeypatch) -> None:
    """It was there a moment ago: its size was found."""
    (folder.image_folder / "b.png").unlink()
    sizes = {"b.png": 1, "c.png": 1}
    monkeypatch.setattr("soli.datasets.leaks.file_size", lambda example: sizes.get(example.image_id, 0))
    with pytest.raises(SoliError, match=r"b\.png cannot be read: no such file"):
        find_leaks(folder)


def test_flickr8k(flickr8k_root: Path) -> None:
    """Its two byte-identical photographs are both in train; counts of captions from sets of words written out here."""
    dataset = Flickr8kDataset(str(flickr8k_root))
    leaks = find_leaks(dataset)
    assert leaks["images_in_two_splits"]["count"] == leaks["byte_identical_across_splits"]["count"] == 0
    pair = leaks["byte_identical_within_a_split"]
    assert pair["count"] == 1
    assert sorted(pair["examples"][0]) == ["train: 2851198725_37b6027625.jpg", "train: 3050606344_af711c726c.jpg"]

    def words(example: Example) -> list[str]:
        letters = ("".join(sign if sign.isalnum() else " " for sign in caption.lower()) for caption in example.captions)
        return [" ".join(caption.split()) for caption in letters]

    training = {caption for example in dataset.examples("train") for caption in words(example)}
    seen = sum(caption in training for example in dataset.examples("test") for caption in words(example))
    assert leaks["training_captions_in_test_references"]["count"] == seen == 62


def test_toy_pictures_are_compared_by_pixels() -> None:
    class Repeating(ToyDataset):
        def read_image(self, example: Example) -> np.ndarray:
            return super().read_image(Example(example.image_id.replace("val-00003", "train-00001"), ()))

    assert find_leaks(ToyDataset(num_train=20, num_val=5, num_test=5))["byte_identical_across_splits"]["count"] == 0
    found = find_leaks(Repeating(num_train=20, num_val=5, num_test=5))["byte_identical_across_splits"]
    assert found == {"count": 1, "examples": [["train: train-00001", "val: val-00003"]]}
