"""Karpathy's JSON files: Flickr30k, COCO with its folders and restval, and what may be wrong in them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from soli.datasets import KarpathyDataset
from soli.interfaces import SoliError


def entry(name: str, split: str, *captions: str, **more: Any) -> dict[str, Any]:
    return {"filename": name, "split": split, "sentences": [{"raw": caption, "tokens": []} for caption in captions], **more}


COCO = [
    entry("1.jpg", "train", "one", filepath="train2014"),
    entry("2.jpg", "restval", "two", filepath="val2014"),
    entry("1.jpg", "val", "three", filepath="val2014"),
    entry("3.jpg", "test", " four \n words ", filepath="val2014"),
]
COCO_NAMES = ["train2014/1.jpg", "val2014/1.jpg", "val2014/2.jpg", "val2014/3.jpg"]


@pytest.mark.parametrize("image_folder", [".", "images"])
def test_coco(make_root, image_folder: str) -> None:
    root = make_root(COCO_NAMES, {"dataset_coco.json": json.dumps({"images": COCO})}, image_folder)
    dataset = KarpathyDataset("coco", str(root))
    found = {split: [(example.image_id, example.captions) for example in dataset.examples(split)] for split in dataset.splits}
    assert found == {
        "train": [("train2014/1.jpg", ("one",)), ("val2014/2.jpg", ("two",))],
        "val": [("val2014/1.jpg", ("three",))],
        "test": [("val2014/3.jpg", ("four words",))],
    }
    assert dataset.examples("val")[0].path == root / image_folder / "val2014/1.jpg"
    assert dataset.notices == ["1 photograph of the split restval used for training."]
    assert dataset.name == "coco"


def test_coco_without_restval(make_root) -> None:
    root = make_root(COCO_NAMES, {"dataset_coco.json": json.dumps({"images": COCO})}, ".")
    dataset = KarpathyDataset("coco", str(root), restval=False)
    assert [example.image_id for example in dataset.examples("train")] == ["train2014/1.jpg"]
    assert dataset.notices == ["1 photograph of dataset_coco.json in no split left out."]


@pytest.mark.parametrize("image_folder", [".", "images"])
def test_a_part_of_the_photographs(make_root, image_folder: str) -> None:
    """The first photograph of all is missing, so that the folder is found by another; a limit counts those that are there."""
    more = [*COCO, entry("4.jpg", "restval", "five", filepath="val2014")]
    root = make_root([*COCO_NAMES[1:], "val2014/4.jpg"], {"dataset_coco.json": json.dumps({"images": more})}, image_folder)
    with pytest.raises(SoliError, match=r"names 1 photograph \(of 5\) without a file.*train2014/1\.jpg\. Add the files, or .*partial=true"):
        KarpathyDataset("coco", str(root))
    dataset = KarpathyDataset("coco", str(root), limit=1, partial=True)
    found = {split: [example.image_id for example in dataset.examples(split)] for split in dataset.splits}
    assert found == {"train": ["val2014/2.jpg"], "val": ["val2014/1.jpg"], "test": ["val2014/3.jpg"]}
    assert dataset.absent == ["train2014/1.jpg"]
    left_out = "1 photograph of dataset_coco.json without a file left out (dataset.partial); the first: train2014/1.jpg."
    assert dataset.notices[-1] == left_out
    for name in [*COCO_NAMES[1:], "val2014/4.jpg"]:
        (root / image_folder / name).unlink()
    with pytest.raises(SoliError, match="has none of the 5 photographs that .*dataset_coco.json names: add the files"):
        KarpathyDataset("coco", str(root), partial=True)


@pytest.mark.parametrize("image_folder", ["images", "flickr30k-images"])
def test_flickr30k(make_root, image_folder: str) -> None:
    images = [entry("1.jpg", "train", "one", "uno"), entry("2.jpg", "val", "two"), entry("3.jpg", "test", "three")]
    root = make_root(["1.jpg", "2.jpg", "3.jpg"], {"dataset_flickr30k.json": json.dumps({"images": images})}, image_folder)
    dataset = KarpathyDataset("flickr30k", str(root), limit=1)
    assert dataset.splits == ("train", "val", "test") and dataset.examples("train")[0].captions == ("one", "uno")


def test_a_name_and_a_file_of_ones_own(make_root) -> None:
    root = make_root(["1.jpg"], {"mine/words.json": json.dumps({"images": [entry("1.jpg", "test", "one")]})})
    dataset = KarpathyDataset("mine", str(root), annotations="mine/words.json")
    assert (dataset.name, dataset.splits) == ("mine", ("test",))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"images": [\n{"filename": "1.jpg",,}]}', "line 2: the JSON is broken"),
        ("[]", "no caption file of Karpathy's kind: it needs images with filename, split and sentences with raw"),
        ('{"images": [{"file_name": "1.jpg"}]}', "no caption file of Karpathy's kind"),
        ('{"images": [7]}', "no caption file of Karpathy's kind"),
        ('{"images": []}', "has no photograph with a caption"),
        (json.dumps({"images": [entry("1.jpg", "training", "x")]}), "has the split 'training'; allowed are train, val, test and restval"),
        (json.dumps({"images": [entry("1.jpg", "train", "x")] * 2}), "lists 1 photograph more than once in a split; the first: 1.jpg"),
        (json.dumps({"images": [entry("1.jpg", "train", "x"), entry("7.jpg", "test", "x")]}), "names 1 photograph (of 2) without a file"),
        (json.dumps({"images": [entry("1.jpg", "train", "x", filepath="../..")]}), "inside the image folder"),
    ],
)
def test_mistakes_are_named(make_root, text: str, expected: str) -> None:
    root = make_root(["1.jpg"], {"dataset_mine.json": text})
    with pytest.raises(SoliError) as caught:
        KarpathyDataset("mine", str(root))
    assert "dataset_mine.json" in str(caught.value) and expected in str(caught.value)
