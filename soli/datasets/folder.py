"""Photographs of the user's own: a folder with images and a CSV or JSON-lines file of captions."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from soli.datasets.flickr_text import read_rows
from soli.datasets.photographs import PhotographDataset
from soli.datasets.records import HALF, SPLITS, Record, find_file, find_root, read_text
from soli.interfaces import SoliError
from soli.json_text import parse_json
from soli.printing import short

CAPTION_FILES = ("captions.csv", "captions.tsv", "captions.jsonl")

Row = tuple[str, list[str], str | None]  # image, captions, split


class FolderDataset(PhotographDataset):
    """A folder with photographs and their captions.

    A CSV file has the columns image and caption, and if you like split; it is UTF-8, fields are separated by commas (tabs in .tsv), and
    captions with commas, quotes or line breaks stand in double quotes. A JSON-lines file has an object per line,
    {"image": "a.jpg", "caption": "..."} or {"image": "a.jpg", "captions": ["...", "..."]}, and if you like "split". Rows of one photograph
    are gathered. Without splits, the SHA-256 of its name puts a photograph into val, test or train, so that adding photographs moves none.

    Args:
        root: the folder; names of photographs are relative to its subfolder images, or to itself.
        annotations: the caption file, relative to root; None: captions.csv, captions.tsv or captions.jsonl.
        val_fraction, test_fraction: the shares of the splits when the file has none; the rest is train.
        limit: only the first so many photographs of each split.
        reference_side: the longer side of the originals in pixels, if the photographs were shrunk before; else None.
        partial: whether photographs whose file is missing are left out; otherwise they are a mistake.

    Raises:
        SoliError: a folder, file or column is missing, a line is broken, a split has another name, and as PhotographDataset.
    """

    def __init__(
        self,
        root: str | None = None,
        annotations: str | None = None,
        val_fraction: float = 0.1,
        test_fraction: float = 0.1,
        limit: int | None = None,
        reference_side: int | None = None,
        partial: bool = False,
    ) -> None:
        if val_fraction < 0 or test_fraction < 0 or val_fraction + test_fraction >= 1:
            raise SoliError(
                f"dataset.val_fraction is {val_fraction} and dataset.test_fraction {test_fraction}: neither may be negative, and together "
                "they must leave something for train."
            )
        folder = find_root(root, "folder")
        source = find_file(folder, (annotations,) if annotations is not None else CAPTION_FILES, "caption file")
        records, notices = _gather(source, val_fraction, test_fraction)
        super().__init__("folder", source, records, [folder / "images", folder], limit, reference_side, notices, partial)


def split_of(image: str, val_fraction: float, test_fraction: float) -> str:
    """The split of a photograph, by its name alone."""
    place = int.from_bytes(hashlib.sha256(image.encode()).digest()[:8], "big") / 2**64
    if place < val_fraction:
        return "val"
    return "test" if place < val_fraction + test_fraction else "train"


def _gather(source: Path, val_fraction: float, test_fraction: float) -> tuple[list[Record], list[str]]:
    """The records of a caption file in the order of its photographs, and what is to be said about them."""
    rows = list(_read_json_lines(source) if source.suffix in (".jsonl", ".ndjson", ".json") else _read_csv(source))
    has_splits = any(split is not None for _, _, split in rows)
    captions: dict[tuple[str, str], list[str]] = {}
    for image, of_row, split in rows:
        split = split if has_splits else split_of(image, val_fraction, test_fraction)
        captions.setdefault((image, split), []).extend(of_row)
    notices = (
        [] if has_splits else [f"{source.name} has no splits: val {val_fraction:g}, test {test_fraction:g}, the rest train, by file name."]
    )
    return [Record(image, split, tuple(of_image)) for (image, split), of_image in captions.items()], notices


def _read_csv(path: Path) -> Iterator[Row]:
    for line, row in read_rows(path, ("image", "caption")):
        yield _name(row["image"], path, line), [row["caption"]], _split(row["split"], path, line) if "split" in row else None


def _read_json_lines(path: Path) -> Iterator[Row]:
    num_with_split, number = 0, 0
    for line, text in enumerate(read_text(path).split("\n"), start=1):
        if text.strip():
            row = _read_object(text, path, line)
            number, num_with_split = number + 1, num_with_split + ("split" in row)
            if num_with_split not in (0, number):
                raise SoliError(f"{path}, line {line}: either all lines have a split or none; this line and those before it differ.")
            yield _name(row["image"], path, line), row["captions"], _split(row["split"], path, line) if "split" in row else None


def _read_object(text: str, path: Path, line: int) -> dict[str, Any]:
    """A line with `image` and `captions`. Raises SoliError for anything else."""
    try:
        row = parse_json(text)
    except ValueError as error:
        raise SoliError(
            f"{path}, line {line}: the JSON is broken ({getattr(error, 'msg', error)}); each line is an object of its own."
        ) from error
    keys = short(", ".join(row)) if isinstance(row, dict) else type(row).__name__
    if not isinstance(row, dict) or "image" not in row or ("caption" in row) == ("captions" in row):
        raise SoliError(
            f"{path}, line {line}: an object with image and either caption or captions is needed, this one has {keys or 'nothing'}."
        )
    captions = row["captions"] if "captions" in row else [row["caption"]]
    if not isinstance(row["image"], str) or not isinstance(captions, list) or not all(isinstance(caption, str) for caption in captions):
        raise SoliError(f"{path}, line {line}: image and caption must be text, and captions a list of texts.")
    return {**row, "captions": captions}


def _name(image: str, path: Path, line: int) -> str:
    """The name without "./", so that a photograph has one name only."""
    if HALF.search(image):
        raise SoliError(f"{path}, line {line}: the name of the photograph has half a character (\\ud800 to \\udfff).")
    if not image.strip():
        raise SoliError(f"{path}, line {line}: the name of the photograph is empty: give one.")
    return str(PurePosixPath(image.strip()))


def _split(split: Any, path: Path, line: int) -> str:
    if split not in SPLITS:
        raise SoliError(f"{path}, line {line}: the split is {short(repr(split))}; allowed are {', '.join(SPLITS)}.")
    return split
