"""Digests of data: equal for equal data wherever they lie, other for every change that matters, whole files or their ends."""

from __future__ import annotations

import hashlib
import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from soli.datasets import FolderDataset, ToyDataset, data_differences, data_fingerprint
from soli.interfaces import SoliError

SIZE = 60 * 60 * 3 + 54  # bytes of each file, more than two ends


@pytest.fixture
def data(tmp_path):
    """Six photographs of noise."""
    (tmp_path / "data" / "images").mkdir(parents=True)
    generator, rows = np.random.default_rng(0), ["image,caption,split"]
    for index, split in enumerate(("train", "train", "train", "val", "test", "test")):
        pixels = generator.integers(0, 256, (60, 60, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "data" / "images" / f"{index}.bmp")
        rows += [f"{index}.bmp,a picture {index},{split}", f"{index}.bmp,noise {index},{split}"]
    (tmp_path / "data" / "captions.csv").write_text("\n".join(rows), encoding="utf-8")
    return tmp_path / "data"


def of(data, **options):
    """As it is after it was written and read again."""
    return json.loads(json.dumps(data_fingerprint(FolderDataset(str(data)), **options)))


def edit_captions(data, old, new):
    path = data / "captions.csv"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def change_byte(data, name, place):
    content = bytearray((data / "images" / name).read_bytes())
    content[place] ^= 1
    (data / "images" / name).write_bytes(content)


def rename(data):
    (data / "images" / "4.bmp").rename(data / "images" / "six.bmp")
    edit_captions(data, "4.bmp", "six.bmp")


def swap_files(data):
    first, second = ((data / "images" / f"{name}.bmp").read_bytes() for name in (0, 1))
    (data / "images" / "0.bmp").write_bytes(second)
    (data / "images" / "1.bmp").write_bytes(first)


CONTENT = ["train: content of the photographs"]
CHANGES = {
    "a caption": (lambda data: edit_captions(data, "noise 3", "noise three"), ["val: captions"]),
    "a word from one caption to the next": (
        lambda data: edit_captions(data, " 0,train\n0.bmp,noise", ",train\n0.bmp,0 noise"),
        ["train: captions"],
    ),
    "a name": (rename, ["test: names or order of the photographs"]),
    "a byte at the beginning": (lambda data: change_byte(data, "2.bmp", 60), CONTENT),
    "the last byte": (lambda data: change_byte(data, "2.bmp", -1), CONTENT),
    "two files": (swap_files, CONTENT),
    "a split": (
        lambda data: edit_captions(data, "2,train", "2,test"),
        ["train: 3 photographs there, 2 here", "test: 2 photographs there, 3 here"],
    ),
    "a split that is gone": (lambda data: edit_captions(data, ",val", ",test"), ["val: only there", "test: 2 photographs there, 3 here"]),
}


@pytest.mark.parametrize("name", CHANGES)
def test_every_change_is_told_with_its_split(data, name):
    change, phrases = CHANGES[name]
    before = of(data)
    change(data)
    after = of(data)
    assert data_differences(before, after) == phrases
    assert len(data_differences(after, before)) == len(phrases)


def test_where_the_data_lie_and_when_files_were_written_does_not_matter(data, tmp_path):
    shutil.copytree(data, tmp_path / "elsewhere")
    os.utime(tmp_path / "elsewhere" / "images" / "0.bmp", (0, 0))
    assert of(data) == of(tmp_path / "elsewhere") and data_differences(of(data), of(tmp_path / "elsewhere")) == []


def test_of_a_large_split_the_sizes_and_the_ends_are_read(data, monkeypatch):
    """A change at the beginning of a file is then not seen, as `covers` says; one of the last bytes or of the size is."""
    assert {split: found["read"] for split, found in of(data)["splits"].items()} == dict.fromkeys(("train", "val", "test"), "whole")
    monkeypatch.setattr("soli.datasets.fingerprint.AFFORDABLE", 2 * SIZE)
    before = of(data)
    assert {split: found["read"] for split, found in before["splits"].items()} == {"train": "ends", "val": "whole", "test": "whole"}
    assert before["splits"]["train"]["bytes"] == 3 * SIZE and "4096" in before["covers"]["photographs"]
    change_byte(data, "2.bmp", 60)
    assert data_differences(before, of(data)) == []
    change_byte(data, "2.bmp", SIZE - 4096)
    assert data_differences(before, of(data)) == CONTENT
    change_byte(data, "2.bmp", SIZE - 4096)
    with open(data / "images" / "2.bmp", "rb+") as file:
        content = file.read()
        file.seek(0)
        file.write(content[:100] + b"\0" + content[100:])
    assert data_differences(before, of(data)) == CONTENT


def test_splits_whose_photographs_were_not_looked_at_differ_in_nothing_else(data):
    before = of(data)
    change_byte(data, "2.bmp", 60)
    assert data_differences(before, of(data, contents_of=["test"])) == []
    assert data_differences(before, of(data, contents_of=["train"])) == CONTENT


def test_the_digests_are_those_that_another_program_would_compute(data):
    """By the words of `covers`: the SHA-256 of a JSON text per line."""
    names = "".join(json.dumps(f"{index}.bmp") + "\n" for index in range(3))
    assert of(data)["splits"]["train"]["names"] == hashlib.sha256(names.encode()).hexdigest()
    files = [(data / "images" / f"{index}.bmp").read_bytes() for index in range(3)]
    lines = "".join(json.dumps(f"{len(content)} {hashlib.sha256(content).hexdigest()}") + "\n" for content in files)
    assert of(data)["splits"]["train"]["photographs"] == hashlib.sha256(lines.encode()).hexdigest()


def test_drawn_pictures_have_a_fingerprint_of_their_pixels():
    toy = {"num_train": 3, "num_val": 1, "num_test": 1}
    first, same, other = (data_fingerprint(ToyDataset(seed=seed, **toy)) for seed in (0, 0, 1))
    assert first == same
    assert data_differences(first, other)[0] == "train: captions and content of the photographs"


@pytest.mark.parametrize("recorded", [None, {}, [], "text", {"splits": None}, {"splits": {"test": None}}, {"splits": ["test"]}])
def test_what_is_no_fingerprint_counts_as_none(data, recorded):
    assert data_differences(recorded, of(data)) is None


def test_a_photograph_that_is_gone_is_named(data):
    dataset = FolderDataset(str(data))
    (data / "images" / "1.bmp").unlink()
    with pytest.raises(SoliError, match="1.bmp cannot be read: no such file"):
        data_fingerprint(dataset)
