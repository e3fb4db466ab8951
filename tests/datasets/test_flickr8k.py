"""Flickr8k: three kinds of caption files, one dataset; and what is wrong in them is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from soli.datasets import Flickr8kDataset
from soli.interfaces import SoliError

NAMES = ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]
TOKENS = "a.jpg#0\tA dog .\na.jpg#1\tA  cat .\nb.jpg#0\tOne\nc.jpg#0\tTwo , three\n\nd.jpg#0\tIn no split\nb.jpg.1#0\tA stray name\n"
KAGGLE = 'image,caption\na.jpg,A dog .\na.jpg,A cat .\nb.jpg,One\nc.jpg,"Two , three"\nd.jpg,In no split\n'
LISTS = {"Flickr_8k.trainImages.txt": "a.jpg\n", "Flickr_8k.devImages.txt": "b.jpg\r\n", "Flickr_8k.testImages.txt": "c.jpg"}


def karpathy(splits: dict[str, tuple[str, list[str]]]) -> str:
    images = [{"filename": name, "split": split, "sentences": [{"raw": raw} for raw in raws]} for name, (split, raws) in splits.items()]
    return json.dumps({"images": images})


def everything(dataset: Flickr8kDataset) -> list:
    return [(split, list(dataset.examples(split))) for split in dataset.splits]


@pytest.fixture(scope="module")
def real(flickr8k_root: Path) -> dict[str, Flickr8kDataset]:
    return {kind: Flickr8kDataset(str(flickr8k_root), kind) for kind in ("karpathy", "token", "kaggle")}


def test_the_three_kinds_agree_on_flickr8k(real: dict[str, Flickr8kDataset]) -> None:
    """The same photographs in the same order with the same captions, so that a limit takes the same ones too."""
    assert everything(real["karpathy"]) == everything(real["token"]) == everything(real["kaggle"])


def test_sizes_of_flickr8k(real: dict[str, Flickr8kDataset]) -> None:
    dataset = real["karpathy"]
    assert [(split, len(dataset.examples(split))) for split in dataset.splits] == [("train", 6000), ("val", 1000), ("test", 1000)]
    assert all(len(example.captions) == 5 for split in dataset.splits for example in dataset.examples(split))
    assert dataset.read_image(dataset.examples("test")[0]).shape == (224, 224, 3)


def test_what_flickr8k_leaves_out_is_said(real: dict[str, Flickr8kDataset]) -> None:
    assert real["karpathy"].notices == []
    assert real["kaggle"].notices == ["91 photographs of captions.txt in no split left out."]
    assert real["token"].notices == [
        "91 photographs of Flickr8k.token.txt in no split left out.",
        "1 name of Flickr8k.token.txt without a file, in no split, left out; the first: 2258277193_586949ec62.jpg.1.",
    ]


def test_a_small_one(make_root) -> None:
    root = make_root(NAMES, {"Flickr8k.token.txt": TOKENS, "captions.txt": KAGGLE, **LISTS})
    token, kaggle = Flickr8kDataset(str(root), "token"), Flickr8kDataset(str(root), "kaggle")
    assert everything(token) == everything(kaggle)
    assert token.examples("train")[0].captions == ("A dog .", "A cat .")
    assert token.notices[1].endswith("left out; the first: b.jpg.1.")


@pytest.mark.parametrize("image_folder", ["images", "Images", "Flicker8k_Dataset"])
@pytest.mark.parametrize("text_folder", ["", "Flickr8k_text/"])
def test_the_layouts_of_the_downloads(make_root, image_folder: str, text_folder: str) -> None:
    files = {text_folder + name: text for name, text in {"Flickr8k.token.txt": TOKENS, **LISTS}.items()}
    dataset = Flickr8kDataset(str(make_root(NAMES, files, image_folder)))
    assert dataset.examples("test")[0].path.is_file()


def test_auto_takes_the_first_kind_that_is_there(make_root) -> None:
    root = make_root(NAMES, {"captions.txt": KAGGLE, **LISTS})
    assert Flickr8kDataset(str(root)).source.name == "captions.txt"
    (root / "Flickr8k.token.txt").write_text(TOKENS)
    assert Flickr8kDataset(str(root)).source.name == "Flickr8k.token.txt"
    (root / "dataset_flickr8k.json").write_text(karpathy({"a.jpg": ("train", ["x"])}))
    assert Flickr8kDataset(str(root)).source.name == "dataset_flickr8k.json"


def test_a_listed_name_without_captions_is_counted(make_root) -> None:
    dataset = Flickr8kDataset(str(make_root(NAMES, {"captions.txt": "image,caption\na.jpg,words\nb.jpg,\n", **LISTS})))
    assert dataset.splits == ("train",)
    assert dataset.notices == [
        "1 empty caption of captions.txt left out.",
        "2 photographs without captions in captions.txt left out; the first: b.jpg.",
    ]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"Flickr8k.token.txt": None}, "has no caption file: looked for dataset_flickr8k.json, Flickr8k_text/dataset_flickr8k.json"),
        ({"Flickr_8k.devImages.txt": None}, "has no list of the val photographs: looked for Flickr_8k.devImages.txt"),
        ({"Flickr_8k.devImages.txt": None}, "there are Flickr8k.token.txt, Flickr_8k.testImages.txt, Flickr_8k.trainImages.txt, images/"),
        ({"Flickr8k.token.txt": "a.jpg A dog\n"}, "Flickr8k.token.txt, line 1: 'a.jpg A dog' is not of the form"),
        ({"Flickr8k.token.txt": "a.jpg#0\tA dog\na.jpg#0\tA dog\n"}, "Flickr8k.token.txt, line 2: a.jpg#0 was there before"),
        ({"Flickr8k.token.txt": b"a.jpg#0\tA dog\nb.jpg#0\tcaf\xe9\n"}, "Flickr8k.token.txt, line 2: the text is not UTF-8 (byte 0xe9)"),
        ({"Flickr_8k.testImages.txt": "c.jpg\nc.jpg\n"}, "lists 1 photograph more than once in a split; the first: c.jpg"),
        ({"Flickr_8k.testImages.txt": "b.jpg.1\nc.jpg\n"}, "names 1 photograph (of 4) without a file"),
        ({name: "" for name in LISTS}, "has no photograph in any of the splits train, val, test"),
    ],
)
def test_mistakes_are_named(make_root, changes: dict[str, str | bytes | None], expected: str) -> None:
    files = {"Flickr8k.token.txt": TOKENS, **LISTS, **changes}
    root = make_root(NAMES, {name: text for name, text in files.items() if text is not None})
    with pytest.raises(SoliError) as caught:
        Flickr8kDataset(str(root))
    assert expected in str(caught.value)


def test_a_missing_folder_of_photographs_is_named(make_root) -> None:
    root = make_root(NAMES, {"Flickr8k.token.txt": TOKENS, **LISTS}, "pictures")
    with pytest.raises(SoliError, match=r"no folder of photographs: looked for .*images, .*Flicker8k_Dataset.*; there are .*pictures/"):
        Flickr8kDataset(str(root))


def test_an_unknown_kind_is_refused(make_root) -> None:
    with pytest.raises(SoliError, match="dataset.annotations is 'kagle'; allowed are auto, karpathy, token, kaggle"):
        Flickr8kDataset(str(make_root(NAMES, {})), "kagle")
