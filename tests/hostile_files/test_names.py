"""Names in caption files, and words of others, lead nowhere: not out of the data's folder, and not into the terminal."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from PIL import Image

from soli.datasets import Flickr8kDataset, FolderDataset, KarpathyDataset
from soli.interfaces import SoliError
from soli.printing import in_a_cell, printable
from tests.small_run_files import small_run, write_run
from tests.test_commands import failed, run  # noqa: F401 - a fixture

OUTSIDE = [
    "../secret.jpg",
    "x/../../secret.jpg",
    "x/../../../secret.jpg",
    "{root}/secret.jpg",
    "//secret.jpg",
    "..\\secret.jpg",
    "C:\\secret.jpg",
]
OUTSIDE += ["C:secret.jpg", "\\\\server\\secret.jpg", "images/../../secret.jpg", "..", "a/.."]
ODD = [
    "a\0.jpg",
    "a.jpg\0/../../secret.jpg",
    "a\x1b[2J.jpg",
    "a\x9b2J.jpg",
    "a\r.jpg",
    "n" * 256 + ".jpg",
    "é" * 200 + ".jpg",
    "a/" * 600 + "a.jpg",
]
CODES = "\x1b[2J\x1b]0;title\x07\x9b31m\u202egpj"


def make_root(folder: Path) -> Path:
    """A folder with photographs, beside one that nothing may reach."""
    root = folder / "root"
    (root / "images" / "x").mkdir(parents=True)
    for path in [folder / "secret.jpg", root / "secret.jpg", *(root / "images" / f"{name}.jpg" for name in "abc")]:
        Image.new("RGB", (8, 8)).save(path)
    return root


def karpathy(root: Path, name: str) -> KarpathyDataset:
    folder, _, file = name.rpartition("/")
    images = [{"filename": file, "filepath": folder, "split": "train", "sentences": [{"raw": "a dog"}]}]
    (root / "dataset_mine.json").write_text(json.dumps({"images": images}))
    return KarpathyDataset("mine", str(root))


def json_lines(root: Path, name: str) -> FolderDataset:
    (root / "captions.jsonl").write_text(json.dumps({"image": name, "caption": "a dog", "split": "train"}))
    return FolderDataset(str(root))


def table(root: Path, name: str) -> FolderDataset:
    (root / "captions.csv").write_text(f'image,caption,split\n"{name}",a dog,train\n', newline="")
    return FolderDataset(str(root))


def tokens(root: Path, name: str, listed: bool = True) -> Flickr8kDataset:
    (root / "Flickr8k.token.txt").write_text(f"{name}#0\ta dog\na.jpg#0\ta dog\nb.jpg#0\ta dog\nc.jpg#0\ta dog\n", newline="")
    for part, other in (("train", name if listed else "a.jpg"), ("dev", "b.jpg"), ("test", "c.jpg")):
        (root / f"Flickr_8k.{part}Images.txt").write_text(f"{other}\n", newline="")
    return Flickr8kDataset(str(root))


@pytest.mark.parametrize("name", [*OUTSIDE, *ODD], ids=ascii)
@pytest.mark.parametrize("read", [karpathy, json_lines, table, tokens, lambda root, name: tokens(root, name, listed=False)])
def test_a_name_that_leads_out_of_the_folder_is_refused(tmp_path: Path, read, name: str) -> None:
    root = make_root(tmp_path)
    with pytest.raises(SoliError) as caught:
        read(root, name.format(root=root))
    assert printable(caught.value) == str(caught.value)
    if name in OUTSIDE and read not in (table,):
        assert "must be relative and stay inside" in str(caught.value)


def test_links_that_the_user_made_are_followed(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    os.symlink(tmp_path / "secret.jpg", root / "images" / "linked.jpg")
    os.symlink(root / "images", root / "images" / "folder")
    for name in ("linked.jpg", "folder/a.jpg"):
        dataset = json_lines(root, name)
        assert dataset.read_image(dataset.examples("train")[0]).shape == (8, 8, 3)


def test_codes_are_written_out() -> None:
    assert printable("a\x1b[2Jb\x07\x7f\x9b\u202ec\ud800\td\n") == "a\\x1b[2Jb\\x07\\x7f\\x9b\\u202ec\\ud800\td\n"
    assert printable("Straße, 犬, نص, 👩‍🚀, é") == "Straße, 犬, نص, 👩‍🚀, é"
    assert in_a_cell("a\tb\r\nc\x1b") == "a b c\\x1b"
    assert printable(SoliError("\r")) == "\\r"


def clean(text: str) -> bool:
    return printable(text) == text


def test_names_and_captions_reach_the_terminal_as_text(tmp_path: Path, run) -> None:  # noqa: F811
    """A photograph's name with codes in it, captioned by a run whose only words have codes in them."""
    vocabulary = json.loads(small_run()["vocabulary.json"])
    words = [*vocabulary[:4], *(f"{word}{CODES}" for word in vocabulary[4:])]
    folder = write_run(tmp_path / "run", vocabulary=json.dumps(words).encode())
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    Image.new("RGB", (32, 32)).save(photographs / f"a{CODES}.jpg")
    options = (f"run={folder}", f"images={photographs}", "generation.min_tokens=3", "generation.max_tokens=6")
    answer = run("caption", *options)
    assert answer.code == 0 and clean(answer.out) and clean(answer.err.replace("\r", "")), answer.err
    assert "\\x1b[2J" in answer.out and answer.out.count("\n") == 1 and answer.out.count("\t") == 1
    answer = run("caption", *options, "json=true")
    assert answer.code == 0 and clean(answer.out), answer.err
    assert json.loads(answer.out)["image"] == str(photographs / f"a{CODES}.jpg") and CODES in json.loads(answer.out)["caption"]
    (photographs / f"a{CODES}.jpg").write_bytes(b"no photograph")
    message = failed(run("caption", *options))
    assert clean(message) and "\\x1b[2J" in message


def test_messages_about_files_of_others_are_text(tmp_path: Path, run) -> None:  # noqa: F811
    config = (
        small_run()["config.yaml"]
        + rb"""
"key\e[2J": "\e[31m"
"""
    )
    message = failed(run("caption", f"run={write_run(tmp_path / 'run', config=config)}", "images=[a.jpg]"))
    assert clean(message) and "key\\x1b[2J=\\x1b[31m" in message
