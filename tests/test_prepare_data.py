"""scripts/prepare_data.py: each layout in which the datasets are had becomes what soli reads; a sentence for each mistake."""

from __future__ import annotations

import importlib
import io
import json
import os
import runpy
import shutil
import signal
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import soli
from soli.configuration import build
from soli.datasets import Flickr8kDataset, KarpathyDataset

SCRIPT = Path(__file__).parents[1] / "scripts" / "prepare_data.py"
PLACE = SCRIPT.with_suffix("")
NUMBERS = {"train": 4, "val": 2, "test": 1}
HTML = b"<!DOCTYPE html>\n<html><body>Please sign in</body></html>"

Files = dict[str, bytes]


class Miniature:
    """A dataset of eight photographs, one of them in no split, as its makers and others hand it out: names in archives, and contents."""

    def __init__(self, dataset: str, names: list[str], folders: list[str] | None = None, side: int = 12) -> None:
        self.dataset, self.names = dataset, names
        self.folders = folders or [""] * len(names)
        self.photographs = {name: photograph(number, side) for number, name in enumerate(names)}
        self.splits = ["train"] * 4 + ["val"] * 2 + ["test"]
        self.captions = {name: [f"caption {number} of {name}, a dog ." for number in range(5)] for name in names}

    @property
    def karpathy(self) -> bytes:
        entries = []
        for name, folder, split in zip(self.names, self.folders, self.splits, strict=False):
            entry = {"filename": name, "split": split, "sentences": [{"raw": raw} for raw in self.captions[name]]}
            entries.append({**entry, "filepath": folder} if folder else entry)
        return json.dumps({"images": entries, "dataset": self.dataset}).encode()

    @property
    def expected(self) -> dict[str, list[tuple[str, list[str]]]]:
        """By split, the photographs with their captions, as soli is to read them."""
        of_split: dict[str, list[tuple[str, list[str]]]] = {split: [] for split in NUMBERS}
        for name, folder, split in zip(self.names, self.folders, self.splits, strict=False):
            of_split[split].append(("/".join(filter(None, (folder, name))), self.captions[name]))
        return of_split


def photograph(number: int, side: int = 12) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (side, side * 3 // 4), (20 * number, 255 - 20 * number, 90)).save(buffer, "JPEG")
    return buffer.getvalue()


def below(folder: str, files: Mapping[str, bytes]) -> Files:
    return {f"{folder}/{name}": content for name, content in files.items()}


def debris(files: Mapping[str, bytes]) -> Files:
    """What macOS adds to archives: a small file beside each file, of the same name but for two characters."""
    paths = [Path(name) for name in files]
    return {f"__MACOSX/{path.parent}/._{path.name}": b"\0\5\x16\7" + bytes(78) for path in paths} | {".DS_Store": b"Bud1"}


def write_zip(path: Path, files: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def write_tar(path: Path, files: Mapping[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def write_folder(path: Path, files: Mapping[str, bytes]) -> Path:
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


EIGHT = Miniature("flickr8k", [f"{1000 + number}_{number:010x}.jpg" for number in range(8)])
THIRTY = Miniature("flickr30k", [f"{2000 + number}.jpg" for number in range(8)])
SETS = ["train2014"] * 3 + ["val2014"] * 5
COCO = Miniature("coco", [f"COCO_{folder}_{number + 9:012}.jpg" for number, folder in enumerate(SETS)], SETS)
TOKENS = "".join(f"{name}#{number}\t{caption}\n" for name, five in EIGHT.captions.items() for number, caption in enumerate(five))
STRAY = "2258277193_586949ec62.jpg.1#0\tA stray caption .\n"
KAGGLE = "image,caption\n" + "".join(f'{name},"{caption}"\n' for name, five in EIGHT.captions.items() for caption in five)
LISTS = {
    f"Flickr_8k.{word}Images.txt": "".join(f"{name}\n" for name, _ in EIGHT.expected[split]).encode()
    for split, word in (("train", "train"), ("val", "dev"), ("test", "test"))
}
TEXTS = {
    "Flickr8k.token.txt": (TOKENS + STRAY).encode(),
    "Flickr8k.lemma.token.txt": TOKENS.replace("caption", "lemma").encode(),
    "ExpertAnnotations.txt": b"1000_0000000000.jpg\t1001_0000000001.jpg#2\t1\t1\t1\n",
    "readme.txt": b"Read me.\n",
    **LISTS,
}
RESULTS = "image_name| comment_number| comment\n" + "".join(
    f"{name}| {number}| {caption}\n" for name, five in THIRTY.captions.items() for number, caption in enumerate(five)
).replace("2003.jpg| 4| ", "2003.jpg| 4   ")


Command = Callable[..., tuple[int, str]]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Iterator[Command]:
    """Runs the script in `tmp_path`; returns its exit code and all that it said."""
    monkeypatch.setattr(sys, "path", [str(PLACE), *sys.path])
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)

    def run(*words: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["prepare_data.py", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(SCRIPT), run_name="__main__")
        printed, code = capsys.readouterr(), ended.value.code
        said = printed.out + printed.err
        return (1, f"{said}{code}") if isinstance(code, str) else (int(code or 0), said)

    yield run
    for name in set(sys.modules) - before:
        if str(PLACE) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.fixture
def command(script: Command, monkeypatch: pytest.MonkeyPatch) -> Command:
    """The same where the published numbers are those of the miniatures."""
    known = importlib.import_module("facts").DATASETS
    captions = {split: 5 * number for split, number in NUMBERS.items()}
    for name, facts in known.items():
        monkeypatch.setitem(known, name, replace(facts, photographs=8, splits=NUMBERS, captions=captions))
    return script


def read(dataset: str, root: Path) -> dict[str, list[tuple[str, list[str]]]]:
    found = Flickr8kDataset(str(root)) if dataset == "flickr8k" else KarpathyDataset(dataset, str(root))
    assert all(found.read_image(example).shape == (9, 12, 3) for split in found.splits for example in found.examples(split))
    return {split: [(example.image_id, list(example.captions)) for example in found.examples(split)] for split in found.splits}


def tree(folder: Path) -> dict[str, tuple[bytes | str | None, int]]:
    """All that is in a folder: what files hold, where links lead to."""
    paths = sorted(folder.rglob("*"))
    contents = [os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None for path in paths]
    return {str(path.relative_to(folder)): (content, path.lstat().st_mtime_ns) for path, content in zip(paths, contents, strict=True)}


def original(folder: Path) -> list[Path]:
    """As the University of Illinois hands it out, with what macOS added."""
    photographs = below("Flicker8k_Dataset", EIGHT.photographs)
    one = write_zip(folder / "Flickr8k_Dataset.zip", photographs | debris(photographs))
    return [one, write_zip(folder / "Flickr8k_text.zip", TEXTS | debris(TEXTS))]


def kaggle(folder: Path) -> list[Path]:
    one = write_zip(folder / "archive.zip", below("Images", EIGHT.photographs) | {"captions.txt": KAGGLE.encode()})
    files = {f"dataset_{data.dataset}.json": data.karpathy for data in (COCO, EIGHT, THIRTY)}
    return [one, write_zip(folder / "caption_datasets (1).zip", files)]


def unpacked(folder: Path) -> list[Path]:
    files = below("Flicker8k_Dataset", EIGHT.photographs) | below("text", TEXTS) | {"Flicker8k_Dataset/Thumbs.db": b"x"}
    return [write_folder(folder / "mine", files)]


def renamed(folder: Path) -> list[Path]:
    files = below("photos/all", EIGHT.photographs) | {"dataset_flickr8k (2).json": EIGHT.karpathy, "captions (1).txt": KAGGLE.encode()}
    mine = write_folder(folder / "mine", files)
    return [mine / "captions (1).txt", mine / "photos", mine / "dataset_flickr8k (2).json"]


def downloads(folder: Path) -> list[Path]:
    """A folder of archives, some of which have nothing to do with it."""
    original(write_folder(folder / "Downloads", {"holiday.zip": b"PK", "invoice.pdf": b"%PDF", "page.txt": HTML}))
    return [folder / "Downloads"]


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("layout", [original, kaggle, unpacked, renamed, downloads])
def test_every_layout_of_flickr8k_becomes_what_soli_reads(command, tmp_path, layout, backwards):
    sources = layout(tmp_path)
    before = tree(tmp_path)
    code, said = command("flickr8k", *(reversed(sources) if backwards else sources), "--out", "prepared")
    assert code == 0 and "Complete. Next:\n  python -m soli.train dataset=flickr8k dataset.root=prepared" in said, said
    assert read("flickr8k", tmp_path / "prepared") == EIGHT.expected
    texts = {"captions.txt", "dataset_flickr8k.json"} if layout in (kaggle, renamed) else {"Flickr8k.token.txt", *LISTS}
    assert {path.name for path in (tmp_path / "prepared").iterdir()} == {"images", *texts}
    assert {path.name: path.read_bytes() for path in (tmp_path / "prepared" / "images").iterdir()} == EIGHT.photographs
    shutil.rmtree(tmp_path / "prepared")
    assert tree(tmp_path) == before  # what was given is as it was, and there is nothing else


def test_the_default_folder_is_the_one_that_the_config_names(command, tmp_path):
    code, said = command("Flickr8k", *original(tmp_path))
    assert code == 0 and "soli.train dataset=flickr8k dataset.reference_side=500 encoder" in said
    dataset = build(soli.compose(["dataset=flickr8k"]).dataset)
    assert {split: len(dataset.examples(split)) for split in dataset.splits} == NUMBERS


def official_30k(folder: Path) -> list[Path]:
    one = write_tar(folder / "flickr30k-images.tar.gz", below("flickr30k-images", THIRTY.photographs))
    return [one, write_folder(folder, {"dataset_flickr30k.json": THIRTY.karpathy}) / "dataset_flickr30k.json"]


def kaggle_30k(folder: Path) -> list[Path]:
    """Its photographs are there twice, and a row of its captions is broken."""
    inner = below("flickr30k_images/flickr30k_images", THIRTY.photographs) | {"flickr30k_images/results.csv": RESULTS.encode()}
    one = write_zip(folder / "archive.zip", inner | below("flickr30k_images", inner))
    return [one, write_zip(folder / "caption_datasets.zip", {"dataset_flickr30k.json": THIRTY.karpathy})]


@pytest.mark.parametrize("layout", [official_30k, kaggle_30k])
def test_every_layout_of_flickr30k_becomes_what_soli_reads(command, tmp_path, layout):
    code, said = command("flickr30k", *layout(tmp_path), "--out", "prepared")
    assert code == 0 and "dataset=flickr30k" in said, said
    assert read("flickr30k", tmp_path / "prepared") == THIRTY.expected
    assert sorted(path.name for path in (tmp_path / "prepared").iterdir()) == ["dataset_flickr30k.json", "images"]
    counted = "results.csv has 40 captions of 8 photographs (1 row without a separator, read all the same)"
    assert (counted in said) == (layout is kaggle_30k)


def coco_2014(folder: Path) -> list[Path]:
    parts = {name: {n: content for n, content in COCO.photographs.items() if name in n} for name in ("train2014", "val2014")}
    zips = [write_zip(folder / f"{name}.zip", below(name, files)) for name, files in parts.items()]
    captions = json.dumps({"annotations": [{"image_id": 9 + number % 8, "caption": "words"} for number in range(40)]}).encode()
    annotations = {"annotations/captions_train2014.json": captions, "annotations/instances_train2014.json": b"[" * 1000}
    return [*zips, write_zip(folder / "annotations_trainval2014.zip", annotations), *karpathy_coco(folder)]


def coco_2017(folder: Path) -> list[Path]:
    """The same photographs under other names, in other parts."""
    files = {name[-16:]: content for name, content in COCO.photographs.items()}
    parts = {"train2017": list(files)[::2], "val2017": list(files)[1::2]}
    zips = [write_zip(folder / f"{part}.zip", below(part, {name: files[name] for name in names})) for part, names in parts.items()]
    return [*zips, *karpathy_coco(folder)]


def coco_folders(folder: Path) -> list[Path]:
    files = {f"{part}/{name}": content for part, (name, content) in zip(SETS, COCO.photographs.items(), strict=True)}
    return [write_folder(folder / "disk", files), *karpathy_coco(folder)]


def karpathy_coco(folder: Path) -> list[Path]:
    return [write_folder(folder, {"dataset_coco.json": COCO.karpathy}) / "dataset_coco.json"]


@pytest.mark.parametrize("layout", [coco_2014, coco_2017, coco_folders])
def test_every_layout_of_coco_becomes_what_soli_reads(command, tmp_path, layout):
    code, said = command("coco", *layout(tmp_path), "--out", "prepared", "--partial")
    assert code == 0 and "dataset=coco" in said, said
    assert read("coco", tmp_path / "prepared") == COCO.expected
    placed = {path.name: path.read_bytes() for path in (tmp_path / "prepared").glob("*2014/*")}
    assert all(placed[name] == COCO.photographs[name] for name in COCO.names[:7])
    assert sorted(path.name for path in (tmp_path / "prepared").iterdir()) == ["dataset_coco.json", "train2014", "val2014"]
    assert ("captions_train2014.json has 40 captions of 8 photographs" in said) == (layout is coco_2014)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b'{"annotations": ' + b"[" * 100_000, "captions_val2014.json is damaged: it is no file of COCO's captions"),
        (b'{"annotations": {"a": 1}}', "captions_val2014.json is damaged"),
        (b'{"annotations": "\xff"}', "captions_val2014.json, line 1: the text is not UTF-8"),
    ],
)
def test_a_caption_file_of_coco_that_is_damaged_is_named(command, tmp_path, content, sentence):
    extra = write_folder(tmp_path, {"captions_val2014.json": content}) / "captions_val2014.json"
    code, said = command("coco", *coco_folders(tmp_path), extra, "--out", "prepared", "--partial")
    assert code == 1 and sentence in said


def test_photographs_of_2017_need_the_file_with_their_names(command, tmp_path):
    code, said = command("coco", *coco_2017(tmp_path)[:2], "--out", "prepared")
    assert code == 1 and "get their names of 2014 from dataset_coco.json: give it too" in said and not (tmp_path / "prepared").exists()


def test_links_take_the_place_of_copies_of_folders(command, tmp_path):
    (mine,) = unpacked(tmp_path)
    code, said = command("flickr8k", mine.name, "--link", "--out", "prepared")
    assert code == 0 and read("flickr8k", tmp_path / "prepared") == EIGHT.expected, said
    links = list((tmp_path / "prepared" / "images").iterdir())
    assert all(link.is_symlink() and link.resolve() == mine / "Flicker8k_Dataset" / link.name for link in links)
    mine.rename(tmp_path / "moved")
    assert command("flickr8k", "--check", "--out", "prepared")[0] == 1
    assert command("flickr8k", "moved", "--link", "--out", "prepared")[0] == 0 and links[0].exists()


def test_a_check_writes_nothing(command, tmp_path):
    (mine,) = unpacked(tmp_path)
    for words in (("--check", mine), ("--check", "--out", mine), (mine, "--check")):
        code, said = command("flickr8k", *words)
        assert code == 1 and "missing: There are captions" not in said and "has no caption file" in said  # they lie in text/
    (mine / "text").rename(mine / "annotations")
    before = tree(tmp_path)
    code, said = command("flickr8k", "--check", mine)
    assert code == 0 and f"dataset.root={mine}" in said and tree(tmp_path) == before


def test_what_is_missing_can_be_given_later(command, tmp_path):
    photographs, texts = original(tmp_path)
    code, said = command("flickr8k", photographs)
    assert (
        code == 1 and "There are no captions. They are had as caption_datasets.zip by Andrej Karpathy, on https://cs.stanford.edu" in said
    )
    assert "Not complete" in said and "Next" not in said
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "data" / "flickr8k" / "images").iterdir()}
    code, said = command("flickr8k", texts)
    assert code == 0 and read("flickr8k", tmp_path / "data" / "flickr8k") == EIGHT.expected
    assert {path: path.stat().st_mtime_ns for path in times} == times
    code, said = command("flickr8k", texts, "--out", "other")
    assert code == 1 and "There are no photographs. They are had as Flickr8k_Dataset.zip" in said
    assert command("flickr8k", photographs, "--out", "other")[0] == 0


def test_the_same_photograph_is_counted_once_whatever_its_name_is_in_an_archive(command, tmp_path):
    files = {"./": b"", **EIGHT.photographs, **below(".", THIRTY.photographs), "dataset_flickr8k.json": EIGHT.karpathy}
    code, said = command("flickr8k", write_zip(tmp_path / "all.zip", files))
    assert code == 0 and "Left alone: photographs of Flickr30k (8)." in said, said


def test_names_do_nothing_to_the_terminal(command, tmp_path):
    files = below("images", EIGHT.photographs) | {"dataset_flickr8k.json": EIGHT.karpathy}
    code, said = command("flickr8k", write_folder(tmp_path / "mine", files), "--out", "a\x1b[2Jb")
    assert code == 0 and "Flickr8k in a\\x1b[2Jb\n" in said and "\x1b" not in said


def test_kaggles_captions_alone_have_no_splits(command, tmp_path):
    code, said = command("flickr8k", kaggle(tmp_path)[0])
    assert code == 1 and "nothing says which photographs train and which test: Flickr_8k.trainImages.txt" in said


def test_a_second_time_nothing_is_to_do(command, tmp_path):
    (mine,) = unpacked(tmp_path)
    command("flickr8k", mine)
    before = tree(tmp_path / "data")
    code, _ = command("flickr8k", mine, "--report", "report.json")
    assert code == 0 and {name: value[0] for name, value in tree(tmp_path / "data").items()} == {n: value[0] for n, value in before.items()}
    assert json.loads((tmp_path / "report.json").read_text())["placed"] == {"moved": 0, "copied": 0, "linked": 0, "shrunk": 0, "there": 12}


def test_the_report_says_the_same_as_json(command, tmp_path):
    code, said = command("flickr8k", *original(tmp_path), "--report", "report.json")
    report = json.loads((tmp_path / "report.json").read_text())
    assert code == 0 and report["complete"] and report["missing"] == [] and report["next"] in said
    assert report["photographs"] == {"found": 8, "published": 8} and report["unreadable"] == 0
    assert report["splits"]["train"] == {"photographs": 4, "published": 4, "captions": 20, "published_captions": 20}
    assert report["placed"] == {"moved": 12, "copied": 0, "linked": 0, "shrunk": 0, "there": 0}
    stray = "1 name of Flickr8k.token.txt without a file, in no split, left out; the first: 2258277193_586949ec62.jpg.1."
    assert stray in report["notes"] and stray in said and "Left alone: other files (3)." in said


def test_shrunk_photographs_are_noticed(command, tmp_path):
    files = {"dataset_flickr8k.json": EIGHT.karpathy}
    for side, is_noticed in ((224, True), (500, False)):
        mine = write_folder(tmp_path / str(side), files | below("images", Miniature("flickr8k", EIGHT.names, side=side).photographs))
        code, said = command("flickr8k", mine, "--out", f"prepared{side}")
        assert code == 0 and ("dataset.reference_side=500 encoder" in said) == is_noticed


def test_other_numbers_than_the_published_are_a_mistake_unless_they_are_meant(command, tmp_path):
    fewer = Miniature("flickr8k", EIGHT.names[:6])
    mine = write_folder(tmp_path / "mine", fewer.photographs | {"dataset_flickr8k.json": fewer.karpathy})
    code, said = command("flickr8k", mine)
    assert code == 1 and "By dataset_flickr8k.json, the split test has 0 photographs, not 1. The file is not the published one" in said
    code, said = command("flickr8k", mine, "--partial")
    assert code == 0 and "note: By dataset_flickr8k.json, the split test has 0 photographs" in said and "8" in said
    assert "note: There are 6 photographs; the archives have 8." in said


def test_photographs_that_are_unreadable_or_the_same_are_named(command, tmp_path):
    first, second, third, last = EIGHT.names[0], EIGHT.names[1], EIGHT.names[2], EIGHT.names[6]
    files = {**EIGHT.photographs, last: EIGHT.photographs[second], "dataset_flickr8k.json": EIGHT.karpathy}
    code, said = command("flickr8k", write_folder(tmp_path / "same", files), "--out", "prepared1")
    assert (
        code == 0 and f"1 photograph in two splits, byte for byte, under different names; the first: train: {second}, test: {last}" in said
    )
    files |= {first: EIGHT.photographs[first][:-40], third: HTML}
    code, said = command("flickr8k", write_folder(tmp_path / "damaged", files), "--out", "prepared2", "--report", "report.json")
    assert json.loads((tmp_path / "report.json").read_text())["unreadable"] == 2
    assert code == 1 and "2 of 8 photographs cannot be used" in said and first in said and f"{third} is no image" in said


def test_a_photograph_that_is_missing_is_named_or_left_out_where_a_part_is_meant(command, tmp_path):
    """What is trained then is what is there, in every layout; what comes later is taken up."""
    first, second = EIGHT.names[:2]
    some = {name: content for name, content in EIGHT.photographs.items() if name not in (first, second)}
    for number, texts in enumerate(({"dataset_flickr8k.json": EIGHT.karpathy}, TEXTS)):
        mine, out = write_folder(tmp_path / f"mine{number}", some | texts), Path(f"prepared{number}")
        code, said = command("flickr8k", mine, "--out", out)
        assert code == 1 and f"names 2 photographs without a file in {out / 'images'}; the first: {first}. Give the missing ones" in said
        code, said = command("flickr8k", mine, "--out", out, "--partial", "--report", "report.json")
        assert code == 0 and "2 of 4, 10 captions" in said and "2 photographs of" in said and "dataset.partial=true encoder=" in said, said
        overrides = json.loads((tmp_path / "report.json").read_text())["next"].split("soli.train ")[1].split()
        dataset = build(soli.compose(overrides).dataset)
        assert [example.image_id for example in dataset.examples("train")] == EIGHT.names[2:4]
        assert any(notice.endswith(f"without a file left out (dataset.partial); the first: {first}.") for notice in dataset.notices)
        code, said = command("flickr8k", write_folder(tmp_path / f"more{number}", EIGHT.photographs), "--out", out, "--partial")
        assert code == 0 and "dataset.partial" not in said


def test_a_part_without_photographs_to_validate_with_is_not_enough(command, tmp_path):
    without = {name: content for name, content in EIGHT.photographs.items() if name not in EIGHT.names[4:6]}
    mine = write_folder(tmp_path / "mine", without | {"dataset_flickr8k.json": EIGHT.karpathy})
    code, said = command("flickr8k", mine, "--partial")
    assert code == 1 and "missing: No photograph of val is there, and training needs some of both" in said


@pytest.mark.parametrize("layout", [original, unpacked])
def test_smaller_copies(command, tmp_path, monkeypatch, layout):
    """The shorter side of 64 pixels; what is smaller, and what cannot be read, stays as it is."""
    large = Miniature("flickr8k", EIGHT.names, side=400).photographs
    last, broken = EIGHT.names[7], EIGHT.names[6]
    monkeypatch.setattr(EIGHT, "photographs", {**large, last: EIGHT.photographs[last], broken: large[broken][:900]})
    sources = layout(tmp_path)
    code, said = command("flickr8k", *sources, "--size", "64", "--out", "prepared")
    assert code == 1 and "1 of 8 photographs cannot be used" in said and broken in said
    images = {path.name: path for path in (tmp_path / "prepared" / "images").iterdir()}
    sizes = {name: Image.open(images[name]).size for name in EIGHT.names}
    assert sizes == {**dict.fromkeys(EIGHT.names, (85, 64)), last: (12, 9), broken: (400, 300)}
    pixels = np.asarray(Image.open(images[EIGHT.names[2]])).astype(int)
    assert abs(pixels - np.array([40, 215, 90])).max() <= 3  # its colour
    times = {name: path.stat().st_mtime_ns for name, path in images.items()}
    write_folder(tmp_path / "mended", {broken: large[broken]})
    images[broken].unlink()
    code, said = command("flickr8k", tmp_path / "mended", "--size", "64", "--out", "prepared")
    assert code == 0 and "dataset.reference_side=500 encoder" in said, said
    assert [name for name, path in images.items() if path.stat().st_mtime_ns != times[name]] == [broken]


def test_smaller_copies_are_compared_with_what_they_were_made_of(command, tmp_path):
    """One that was damaged since, or is of another photograph or size, is made anew; the others stay."""
    large = Miniature("flickr8k", EIGHT.names, side=400).photographs
    mine = write_folder(tmp_path / "mine", large | {"dataset_flickr8k.json": EIGHT.karpathy})
    assert command("flickr8k", mine, "--size", "64")[0] == 0
    images = {name: tmp_path / "data" / "flickr8k" / "images" / name for name in EIGHT.names}
    whole = {name: path.read_bytes() for name, path in images.items()}
    cut, changed, other, strange, *unharmed = EIGHT.names
    images[cut].write_bytes(whole[cut][:-40])
    images[changed].write_bytes(whole[changed][:-100] + bytes([whole[changed][-100] ^ 1]) + whole[changed][-99:])
    images[other].write_bytes(whole[cut])
    images[strange].write_bytes(photograph(3, 64))
    times = {name: images[name].stat().st_mtime_ns for name in unharmed}
    code, said = command("flickr8k", mine, "--size", "64", "--report", "report.json")
    assert code == 0 and {name: path.read_bytes() for name, path in images.items()} == whole, said
    assert {name: images[name].stat().st_mtime_ns for name in unharmed} == times
    assert json.loads((tmp_path / "report.json").read_text())["placed"] == {"moved": 0, "copied": 0, "linked": 0, "shrunk": 4, "there": 5}
    (mine / cut).write_bytes(large[cut][:900])
    assert command("flickr8k", mine, "--size", "64")[0] == 0 and images[cut].read_bytes() == whole[cut]  # kept: the source is damaged
    (mine / cut).write_bytes(large[cut])
    assert command("flickr8k", mine, "--size", "48")[0] == 0
    assert {Image.open(path).size for path in images.values()} == {(64, 48)}


def test_what_was_damaged_can_be_given_again(command, tmp_path):
    name = EIGHT.names[3]
    bad = {name: EIGHT.photographs[name][:-40], "dataset_flickr8k.json": EIGHT.karpathy}
    code, said = command("flickr8k", write_folder(tmp_path / "damaged", {**EIGHT.photographs, **bad}))
    assert code == 1 and "1 of 8 photographs cannot be used" in said
    code, said = command("flickr8k", write_folder(tmp_path / "again", {name: EIGHT.photographs[name]}))
    assert code == 0, said
    assert (tmp_path / "data" / "flickr8k" / "images" / name).read_bytes() == EIGHT.photographs[name]


def half(folder: Path) -> Path:
    archive = original(folder)[0]
    archive.write_bytes(archive.read_bytes()[:3000])
    return archive


def differing(folder: Path) -> Path:
    other = {EIGHT.names[0]: EIGHT.photographs[EIGHT.names[1]]}
    return write_folder(folder / "two", below("one", EIGHT.photographs) | below("other", other))


def wrong(folder: Path) -> Path:
    return official_30k(folder)[0]


def page(folder: Path) -> Path:
    return write_folder(folder, {"Flickr8k_Dataset.zip": HTML}) / "Flickr8k_Dataset.zip"


def saved_json(folder: Path) -> Path:
    return write_folder(folder, {"dataset_flickr8k.json": HTML}) / "dataset_flickr8k.json"


def half_json(folder: Path) -> Path:
    return write_folder(folder, {"dataset_flickr8k.json": EIGHT.karpathy[:-100]}) / "dataset_flickr8k.json"


def leaving(folder: Path) -> Path:
    return write_zip(folder / "Flickr8k_Dataset.zip", {"../1000_0000000000.jpg": b"bad"})


def without_name(folder: Path) -> Path:
    return write_zip(folder / "Flickr8k_Dataset.zip", {"./": b"", ".": b"bad"} | EIGHT.photographs)


def with_codes(folder: Path) -> Path:
    return write_folder(folder / "mine", below("\x1b[2Jone", EIGHT.photographs) | below("two", {EIGHT.names[0]: photograph(9)}))


def nothing(folder: Path) -> Path:
    return write_folder(folder / "empty", {"notes.md": b"nothing"})


MISTAKES = {
    half: "Flickr8k_Dataset.zip is cut off or damaged",
    differing: "1 file there twice with different contents; the first: 1000_0000000000.jpg",
    wrong: "has nothing of Flickr8k that is known here. It has photographs of Flickr30k (8)",
    page: "Flickr8k_Dataset.zip is a web page, which was saved in place of the file",
    saved_json: "dataset_flickr8k.json is a web page",
    half_json: "dataset_flickr8k.json, line 1: the JSON is broken",
    leaving: "leads out of its folder",
    without_name: "the entry '.' is no name of a file",
    with_codes: f"mine{os.sep}\\x1b[2Jone and in ",
    nothing: "has nothing of Flickr8k that is known here. Needed are Flickr8k_Dataset.zip",
    lambda folder: folder / "nowhere.zip": "nowhere.zip does not exist (relative paths start at ",
}


@pytest.mark.parametrize(("make", "sentence"), MISTAKES.items())
def test_a_source_that_is_of_no_use_gets_a_sentence_and_leaves_nothing(command, tmp_path, make, sentence):
    source = make(tmp_path)
    before = tree(tmp_path)
    code, said = command("flickr8k", source, "--out", "deep/prepared")
    assert code == 1 and sentence in said and "Traceback" not in said and "\x1b" not in said, said
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "error: Give the dataset (flickr8k, flickr30k, coco) and what you have of it, for example: python scripts/prepare_data.py"),
        (["flick8k"], "There is no dataset 'flick8k' (did you mean flickr8k?)"),
        (["Flickr8k_Dataset.zip"], "the first word must be one of flickr8k, flickr30k, coco"),
        (
            ["flickr8k"],
            "Give what you have of Flickr8k: archives, folders or caption files. They are had as\n  photographs: Flickr8k_Dataset.zip",
        ),
        (["coco"], "on https://cocodataset.org/#download"),
        (["flickr8k", "--check"], "flickr8k is no folder: give the one to check"),
        (["flickr8k", "--check", "a", "b"], "--check only looks at one folder"),
        (["flickr8k", "--check", "--link"], "--check only looks at one folder"),
        (["flickr8k", "a", "--size", "8"], "--size 8 makes smaller copies: give at least 32 pixels"),
        (["flickr8k", "a", "--size", "64", "--link"], "leave --link out"),
        (["flickr8k", "a", "--report", "no/where.json"], "--report no/where.json would lie in a folder that does not exist"),
        (["flickr8k", "a", "--out", "strange"], "--out strange holds something else (diary.txt, holiday/)"),
        (["flickr8k", "a", "--out", "strange/diary.txt"], "diary.txt is a file: give a folder"),
    ],
)
def test_words_that_cannot_be_get_a_sentence_and_nothing_is_written(command, tmp_path, words, sentence):
    write_folder(tmp_path / "strange", {"diary.txt": b"Dear diary", "holiday/1.jpg": b"x"})
    before = tree(tmp_path)
    code, said = command(*words)
    assert code == 1 and sentence in said and "Traceback" not in said, said
    assert tree(tmp_path) == before


def test_a_disk_without_room_is_seen_before_anything_is_placed(command, tmp_path, monkeypatch):
    (mine,) = unpacked(tmp_path)
    archives = original(tmp_path)
    before = tree(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(2**40, 2**40 - 1000, 1000))
    code, said = command("flickr8k", mine, "--out", "prepared")
    assert code == 1 and "Copying takes 0.0 GiB in prepared, which has 0.0 GiB free: give --link" in said
    code, said = command("flickr8k", *archives, "--out", "prepared")
    assert code == 1 and "Flickr8k_Dataset.zip needs 0.1 GiB" in said and tree(tmp_path) == before
    assert command("flickr8k", mine, "--link", "--out", "prepared")[0] == 0


def test_an_interrupted_preparation_goes_on_and_unpacks_nothing_twice(command, tmp_path, monkeypatch):
    sources = original(tmp_path)
    replace_file, calls = os.replace, []

    def interrupt(source: Path, target: Path) -> None:
        if len(calls) == 3:
            raise KeyboardInterrupt
        calls.append(target)
        replace_file(source, target)

    with monkeypatch.context() as changed:
        changed.setattr(os, "replace", interrupt)
        code, said = command("flickr8k", *sources, "--out", "prepared")
    assert code == 130 and "Stopped. What is whole is kept in prepared: the same command goes on from there." in said
    assert len(list((tmp_path / "prepared" / "images").iterdir())) == 3
    assert command("flickr8k", "--check", "--out", "prepared")[0] == 1
    code, said = command("flickr8k", *sources, "--out", "prepared")
    assert code == 0 and "Unpacking" not in said and read("flickr8k", tmp_path / "prepared") == EIGHT.expected
    assert not (tmp_path / "prepared" / ".preparing").exists()


def test_a_second_preparation_of_a_folder_leaves_the_first_alone(command, tmp_path):
    fcntl = pytest.importorskip("fcntl")
    sources = original(tmp_path)
    write_folder(tmp_path / "prepared" / ".preparing", {"Flickr8k_Dataset/a.jpg": b"of the first"})
    before = tree(tmp_path)
    first = os.open(tmp_path / "prepared", os.O_RDONLY)
    try:
        fcntl.flock(first, fcntl.LOCK_EX)
        code, said = command("flickr8k", *sources, "--out", "prepared")
    finally:
        os.close(first)
    assert code == 1 and "Another process prepares prepared: wait until it ends, or give another --out." in said
    assert tree(tmp_path) == before
    assert command("flickr8k", *sources, "--out", "prepared")[0] == 0


def test_a_preparation_holds_its_folder_until_its_end(command, tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")
    replace_file, is_held = os.replace, []

    def look(source: Path, target: Path) -> None:
        other = os.open(tmp_path / "prepared", os.O_RDONLY)
        try:
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            is_held.append(True)
        finally:
            os.close(other)
        replace_file(source, target)

    monkeypatch.setattr(os, "replace", look)
    assert command("flickr8k", *original(tmp_path), "--out", "prepared")[0] == 0 and is_held == [True] * 12
    assert command("flickr8k", *unpacked(tmp_path), "--out", "prepared")[0] == 0


def test_flickr8k_as_it_is_published(script, flickr8k_root):
    """The script's own numbers, on the real files."""
    code, said = script("flickr8k", "--check", flickr8k_root)
    assert code == 0 and "photographs     8,091 of 8,091" in said and "train           6,000 of 6,000, 30,000 captions" in said
    assert "1 photograph twice in one split, byte for byte" in said and "in two splits       0" in said
