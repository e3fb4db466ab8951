"""Every kind of caption file, damaged: it is read, with names inside its folder, or refused in a sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from soli.datasets import Flickr8kDataset, FolderDataset, KarpathyDataset
from soli.datasets.photographs import PhotographDataset
from tests.fuzzing.strategies import CAPTIONS, NAMES, VALUES, altered, damaged, damaged_json, folder_with, fuzz, only_sentences

IMAGES = {f"images/{name}.jpg": b"" for name in "abc"}
SPLITS = dict(zip("abc", ("train", "val", "test"), strict=True))
KARPATHY = {
    "images": [
        {"filename": f"{name}.jpg", "filepath": "", "split": split, "sentences": [{"raw": "a dog"}, {"raw": "two dogs"}]}
        for name, split in SPLITS.items()
    ]
}
LISTS = {
    "Flickr_8k.trainImages.txt": b"a.jpg\n",
    "Flickr_8k.devImages.txt": b"b.jpg\n",
    "Flickr_8k.testImages.txt": b"c.jpg\r\n",
}
TOKENS = "".join(f"{name}.jpg#{number}\ta dog {number}\n" for name in "abc" for number in range(2)).encode()
KAGGLE = b'image,caption\na.jpg,"a dog, ""his"" ball"\nb.jpg,two dogs\nc.jpg,a cat\n'
CSV = KAGGLE.replace(b"caption\n", b"caption,split\n").replace(b'ball"\n', b'ball",train\n').replace(b"dogs\n", b"dogs,val\n")
CSV = CSV.replace(b"a cat\n", b"a cat,test\n")
ROWS = [{"image": f"{name}.jpg", "captions": ["a dog", "it runs"], "split": split} for name, split in SPLITS.items()]


def check(open_dataset: Callable[[Path], PhotographDataset], files: dict[str, bytes]) -> None:
    with folder_with({**IMAGES, **files}) as root, only_sentences():
        dataset = open_dataset(root)
        for split in dataset.splits:
            for example in dataset.examples(split):
                assert example.path.resolve().is_relative_to((root / "images").resolve()) and "\0" not in example.image_id
                assert example.captions and all(
                    (caption.split() and caption.isprintable()) or "\n" not in caption for caption in example.captions
                )


def test_undamaged_files_are_read() -> None:
    for open_dataset, files in KINDS.values():
        with folder_with({**IMAGES, **files}) as root:
            assert open_dataset(root).splits == ("train", "val", "test")


KINDS: dict[str, tuple[Callable[[Path], PhotographDataset], dict[str, bytes]]] = {
    "karpathy": (lambda root: KarpathyDataset("mine", str(root)), {"dataset_mine.json": json.dumps(KARPATHY).encode()}),
    "token": (lambda root: Flickr8kDataset(str(root)), {"Flickr8k.token.txt": TOKENS, **LISTS}),
    "kaggle": (lambda root: Flickr8kDataset(str(root)), {"captions.txt": KAGGLE, **LISTS}),
    "csv": (lambda root: FolderDataset(str(root)), {"captions.csv": CSV}),
    "tsv": (lambda root: FolderDataset(str(root)), {"captions.tsv": CSV.replace(b",", b"\t")}),
    "lines": (lambda root: FolderDataset(str(root)), {"captions.jsonl": "\n".join(map(json.dumps, ROWS)).encode()}),
}


@given(kind=st.sampled_from(sorted(KINDS)), data=st.data())
@fuzz(150)
def test_damaged_bytes(kind: str, data: st.DataObject) -> None:
    open_dataset, files = KINDS[kind]
    name = data.draw(st.sampled_from(sorted(files)))
    check(open_dataset, {**files, name: data.draw(damaged(files[name]))})


@given(content=damaged_json(KARPATHY))
@fuzz(150)
def test_karpathy_json_of_other_shapes(content: bytes) -> None:
    check(KINDS["karpathy"][0], {"dataset_mine.json": content})


@given(rows=altered(ROWS, VALUES), split=st.booleans())
@fuzz(150)
def test_json_lines_of_other_shapes(rows: object, split: bool) -> None:
    lines = rows if isinstance(rows, list) else [rows]
    if not split:
        lines = [{key: value for key, value in line.items() if key != "split"} if isinstance(line, dict) else line for line in lines]
    check(KINDS["lines"][0], {"captions.jsonl": "\n".join(map(json.dumps, lines)).encode()})


@given(
    rows=st.lists(st.tuples(NAMES, st.integers(0, 5) | st.just("x"), CAPTIONS), max_size=5), lists=st.lists(NAMES, min_size=3, max_size=3)
)
@fuzz(120)
def test_other_names_and_captions_in_text_files(rows: list, lists: list[str]) -> None:
    tokens = "".join(f"{name}#{number}\t{caption}\n" for name, number, caption in rows).encode("utf-8", "surrogatepass")
    names = {name: f"{given_name}\n".encode("utf-8", "surrogatepass") for name, given_name in zip(LISTS, lists, strict=True)}
    check(KINDS["token"][0], {"Flickr8k.token.txt": tokens, **names})
    table = "image,caption\n" + "".join(f"{name},{caption}\n" for name, _, caption in rows)
    check(KINDS["csv"][0], {"captions.csv": table.encode("utf-8", "surrogatepass")})
