"""Flickr8k's text files: Flickr8k.token.txt (Hodosh et al., 2013) or Kaggle's captions.txt, with the lists of the official splits."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path

from soli.datasets.records import Record, find_file, read_text
from soli.interfaces import SoliError

SPLIT_LISTS = {"train": "Flickr_8k.trainImages.txt", "val": "Flickr_8k.devImages.txt", "test": "Flickr_8k.testImages.txt"}
FOLDERS = ("", "Flickr8k_text/", "annotations/")

Captions = dict[str, list[str]]


def read_token_file(path: Path) -> Captions:
    """Captions by photograph, from lines `name.jpg#2<tab>caption`. Raises SoliError that names the line of another form."""
    captions: dict[str, dict[int, str]] = {}
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        key, tab, caption = line.partition("\t")
        name, hash_mark, position = key.rpartition("#")
        if not (tab and hash_mark and position.isdecimal()):
            raise SoliError(f"{path}, line {number}: {line[:60]!r} is not of the form name.jpg#0<tab>caption.")
        if captions.setdefault(name, {}).setdefault(int(position), caption) is not caption:
            raise SoliError(f"{path}, line {number}: {key} was there before; each caption needs a number of its own.")
    return {name: [of_name[position] for position in sorted(of_name)] for name, of_name in captions.items()}


def read_rows(path: Path, columns: tuple[str, ...]) -> list[tuple[int, dict[str, str]]]:
    """The rows of a CSV file (tab-separated when it ends in .tsv) with their line numbers.

    Raises:
        SoliError: a column is missing (says which exist), a row has more or fewer fields than the header, or quotes do not close.
    """
    rows = csv.reader(io.StringIO(read_text(path), newline=""), delimiter="\t" if path.suffix == ".tsv" else ",", strict=True)
    try:
        header = [column.strip() for column in next(rows, [])]
        missing = [column for column in columns if column not in header]
        if missing:
            raise SoliError(f"{path} has no column {' and no column '.join(missing)}: its first line has {', '.join(header) or 'nothing'}.")
        return [(rows.line_num, _row(row, header, path, rows.line_num)) for row in rows if row]
    except csv.Error as error:
        raise SoliError(
            f"{path}, line {rows.line_num}: {error}; captions with commas, quotes or line breaks belong in double quotes."
        ) from error


def _row(fields: list[str], header: list[str], path: Path, line: int) -> dict[str, str]:
    if len(fields) != len(header):
        raise SoliError(
            f"{path}, line {line}: {len(fields)} fields, but the first line has {len(header)} ({', '.join(header)}); "
            "captions with commas belong in double quotes."
        )
    return dict(zip(header, fields, strict=True))


def read_kaggle_file(path: Path) -> Captions:
    """Captions by photograph, from a CSV file with the columns image and caption. Raises SoliError as read_rows does."""
    captions: Captions = {}
    for _, row in read_rows(path, ("image", "caption")):
        captions.setdefault(row["image"].strip(), []).append(row["caption"])
    return captions


def read_split_lists(root: Path) -> dict[str, list[str]]:
    """The names of train, val and test in their official order. Raises SoliError for a list that is missing."""
    paths = {
        split: find_file(root, [folder + name for folder in FOLDERS], f"list of the {split} photographs")
        for split, name in SPLIT_LISTS.items()
    }
    return {split: [line.strip() for line in read_text(path).splitlines() if line.strip()] for split, path in paths.items()}


def join(captions: Captions, split_lists: Mapping[str, list[str]]) -> list[Record]:
    """The records of the splits, in the order of the lists, then those of no split. A listed name without captions gets none."""
    listed = {name for names in split_lists.values() for name in names}
    in_splits = [Record(name, split, tuple(captions.get(name, ()))) for split, names in split_lists.items() for name in names]
    return in_splits + [Record(name, None, tuple(of_name)) for name, of_name in captions.items() if name not in listed]
