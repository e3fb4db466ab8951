"""The user's own photographs: what a CSV or JSON-lines file may look like, and every mistake in one."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from soli.datasets import FolderDataset, check_photographs, read_photograph
from soli.datasets.folder import split_of
from soli.interfaces import SoliError

NAMES = ["a.jpg", "b.jpg", "c.jpg"]
SPLIT_CSV = "image,caption,split\na.jpg,one,train\nb.jpg,two,val\nc.jpg,three,test\n"


def complaint(root: Path, **options: object) -> str:
    with pytest.raises(SoliError) as caught:
        FolderDataset(root=str(root), **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def captions(dataset: FolderDataset) -> dict[str, dict[str, tuple[str, ...]]]:
    return {split: {example.image_id: example.captions for example in dataset.examples(split)} for split in dataset.splits}


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_csv(make_root, mark: bytes, line_end: str) -> None:
    """Extra columns, another order, quoted commas, quotes and line breaks, several rows of a photograph, a byte order mark."""
    lines = [
        "split,caption,image,licence",
        'train,"a dog, and ""his"" ball",a.jpg,free',
        'val,"two\nlines",b.jpg,free',
        "test,Straße im Café,c.jpg,free",
        "train,  second   one ,a.jpg,free",
        "",
    ]
    dataset = FolderDataset(str(make_root(NAMES, {"captions.csv": mark + line_end.join(lines).encode()})))
    assert captions(dataset) == {
        "train": {"a.jpg": ('a dog, and "his" ball', "second one")},
        "val": {"b.jpg": ("two lines",)},
        "test": {"c.jpg": ("Straße im Café",)},
    }
    example = dataset.examples("val")[0]
    assert (dataset.read_image(example) == read_photograph(example.path)).all() and dataset.read_image(example).dtype == np.uint8
    assert dataset.notices == []


def test_tabs(make_root) -> None:
    dataset = FolderDataset(str(make_root(NAMES, {"captions.tsv": SPLIT_CSV.replace(",", "\t")})))
    assert captions(dataset)["test"] == {"c.jpg": ("three",)}


def test_json_lines_equal_csv(make_root, tmp_path: Path) -> None:
    rows = [
        {"image": "a.jpg", "captions": ["one", "uno"], "split": "train"},
        {"image": "b.jpg", "caption": "two", "split": "val"},
        {"image": "./c.jpg", "caption": "three\nlines\u2028here", "split": "test"},
    ]
    text = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    csv = 'image,caption,split\na.jpg,one,train\na.jpg,uno,train\nb.jpg,two,val\nc.jpg,"three\nlines here",test\n'
    root = make_root(NAMES, {"captions.jsonl": text, "mine.csv": csv})
    assert captions(FolderDataset(str(root))) == captions(FolderDataset(str(root), annotations="mine.csv"))


def test_photographs_beside_the_caption_file_and_in_subfolders(make_root) -> None:
    root = make_root(["one/a.jpg", "two/a.jpg"], {"captions.csv": "image,caption,split\none/a.jpg,x,train\ntwo/a.jpg,y,test\n"}, ".")
    dataset = FolderDataset(str(root))
    assert [dataset.examples(split)[0].path for split in dataset.splits] == [root / "one/a.jpg", root / "two/a.jpg"]


def test_without_splits_the_name_decides(make_root) -> None:
    names = [f"{number}.jpg" for number in range(60)]
    text = "image,caption\n" + "".join(f"{name},words\n" for name in names)
    root = make_root(names, {"captions.csv": text, "backwards.csv": "image,caption\n" + "".join(f"{name},words\n" for name in names[::-1])})
    dataset, backwards = FolderDataset(str(root)), FolderDataset(str(root), annotations="backwards.csv")
    assert captions(dataset) == captions(backwards)
    assert {name: split for split, members in captions(dataset).items() for name in members} == {
        name: split_of(name, 0.1, 0.1) for name in names
    }
    assert dataset.notices == ["captions.csv has no splits: val 0.1, test 0.1, the rest train, by file name."]


def test_shares_of_the_splits() -> None:
    counts = Counter(split_of(f"{number}.jpg", 0.1, 0.2) for number in range(10_000))
    assert counts["val"] == pytest.approx(1000, abs=120) and counts["test"] == pytest.approx(2000, abs=160)  # four standard deviations
    assert [split_of("a.jpg", *shares) for shares in ((0.999999, 0), (0, 0.999999), (0, 0))] == ["val", "test", "train"]


def test_limit_is_per_split(make_root) -> None:
    text = "image,caption,split\n" + "".join(f"{number}.jpg,words,{'train' if number < 5 else 'val'}\n" for number in range(8))
    dataset = FolderDataset(str(make_root([f"{number}.jpg" for number in range(8)], {"captions.csv": text})), limit=2, reference_side=500)
    assert {split: list(members) for split, members in captions(dataset).items()} == {
        "train": ["0.jpg", "1.jpg"],
        "val": ["5.jpg", "6.jpg"],
    }
    assert dataset.reference_side == 500


def test_empty_captions_are_dropped_and_counted(make_root) -> None:
    text = 'image,caption,split\na.jpg,words,train\na.jpg,,train\na.jpg,"  \n ",train\nb.jpg,,val\nc.jpg,more,test\n'
    dataset = FolderDataset(str(make_root(NAMES, {"captions.csv": text})))
    assert captions(dataset) == {"train": {"a.jpg": ("words",)}, "test": {"c.jpg": ("more",)}}
    assert dataset.notices == [
        "3 empty captions of captions.csv left out.",
        "1 photograph without captions in captions.csv left out; the first: b.jpg.",
    ]


def test_an_empty_split_is_named_when_it_is_asked_for(make_root) -> None:
    dataset = FolderDataset(str(make_root(NAMES, {"captions.csv": "image,caption,split\na.jpg,one,train\nb.jpg,two,train\n"})))
    assert dataset.splits == ("train",)
    with pytest.raises(SoliError, match=r"captions.csv has no photographs in the split 'val'; there are train \(2\)"):
        dataset.examples("val")


def test_a_photograph_in_two_splits_is_noticed(make_root) -> None:
    dataset = FolderDataset(str(make_root(NAMES, {"captions.csv": SPLIT_CSV + "a.jpg,again,test\n"})))
    assert dataset.notices == ["1 photograph in more than one split; the first: a.jpg."]


def test_unreadable_photographs_are_all_named(make_root) -> None:
    root = make_root(NAMES, {"captions.csv": SPLIT_CSV})
    (root / "images/a.jpg").write_bytes(b"")
    (root / "images/c.jpg").write_bytes((root / "images/c.jpg").read_bytes()[:-30])
    dataset = FolderDataset(str(root))
    with pytest.raises(SoliError, match=r"(?s)2 of 3 .*a\.jpg is an empty file.*c\.jpg cannot be read"):
        check_photographs([example for split in dataset.splits for example in dataset.examples(split)])


@pytest.mark.parametrize("name", ["../secret.jpg", "/etc/passwd", "x/../../y.jpg", "C:\\x.jpg", "..\\x.jpg", "."])
def test_names_outside_of_the_folder_are_refused(make_root, name: str) -> None:
    message = complaint(make_root(NAMES, {"captions.csv": f"image,caption,split\na.jpg,one,train\n{name},two,train\n"}))
    assert repr(name) in message and "inside the image folder" in message


def test_missing_places_are_named(make_root, tmp_path: Path) -> None:
    root = make_root(NAMES, {"words.csv": SPLIT_CSV})
    with pytest.raises(SoliError, match="dataset.root is not set.*dataset.root=data/folder"):
        FolderDataset()
    assert "does not exist" in complaint(tmp_path / "nowhere")
    assert "is not a folder" in complaint(root / "words.csv")
    assert "looked for captions.csv, captions.tsv, captions.jsonl; there are images/, words.csv" in complaint(root)
    assert "looked for other.csv" in complaint(root, annotations="other.csv")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("file,text\na.jpg,one\n", "has no column image and no column caption: its first line has file, text"),
        ("image;caption\na.jpg;one\n", "its first line has image;caption"),
        ("", "its first line has nothing"),
        ("image,caption\n", "has no photograph with a caption"),
        ("image,caption\na.jpg,\n", "has no photograph with a caption"),
        ("image,caption\na.jpg,a dog, running\n", "line 2: 3 fields, but the first line has 2 (image, caption)"),
        ("image,caption\na.jpg,one\nb.jpg\n", "line 3: 1 fields"),
        ('image,caption\na.jpg,one\nb.jpg,"two\n', "line 3: unexpected end of data"),
        ("image,caption,split\na.jpg,one,training\n", "line 2: the split is 'training'; allowed are train, val, test"),
        ("image,caption,split\na.jpg,one,\n", "line 2: the split is ''"),
        ("image,caption\n ,one\n", "line 2: the name of the photograph is empty"),
        ("image,caption\na.jpg,one\nx.jpg,two\ny.jpg,three\n", "2 photographs (of 3) without a file"),
        ("image,caption\na.jpg,one\nx.jpg,two\ny.jpg,three\n", "the first: x.jpg"),
    ],
)
def test_mistakes_in_a_csv_file(make_root, text: str, expected: str) -> None:
    message = complaint(make_root(NAMES, {"captions.csv": text}), val_fraction=0, test_fraction=0)
    assert "captions.csv" in message and expected in message


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"image": "b.jpg", "caption": "x"', "line 2: the JSON is broken"),
        ('["b.jpg", "x"]', "line 2: an object with image"),
        ('{"image": "b.jpg"}', "this one has image"),
        ('{"image": "b.jpg", "caption": "x", "captions": ["x"]}', "either caption or captions"),
        ('{"image": "b.jpg", "captions": "x"}', "line 2: image and caption must be text"),
        ('{"image": "b.jpg", "caption": null}', "line 2: image and caption must be text"),
        ('{"image": "b.jpg", "caption": "x", "split": "dev"}', "line 2: either all lines have a split or none"),
    ],
)
def test_mistakes_in_a_json_lines_file(make_root, line: str, expected: str) -> None:
    message = complaint(make_root(NAMES, {"captions.jsonl": '{"image": "a.jpg", "caption": "one"}\n' + line}))
    assert "captions.jsonl" in message and expected in message


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_another_encoding_is_named_with_its_line(make_root, encoding: str) -> None:
    text = "image,caption\na.jpg,plain\nb.jpg,caf\u00e9\n"
    message = complaint(make_root(NAMES, {"captions.csv": text.encode(encoding)}))
    assert f"captions.csv, line {3 if encoding == 'latin-1' else 1}: the text is not UTF-8" in message


@pytest.mark.parametrize(
    "options",
    [{"val_fraction": -0.1}, {"test_fraction": 1.0}, {"val_fraction": 0.5, "test_fraction": 0.5}, {"limit": 0}, {"reference_side": -3}],
)
def test_numbers_out_of_range(make_root, options: dict) -> None:
    message = complaint(make_root(NAMES, {"captions.csv": SPLIT_CSV}), **options)
    assert all(f"dataset.{key}" in message and str(value) in message for key, value in options.items())
