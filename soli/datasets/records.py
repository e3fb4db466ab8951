"""What caption files are turned into, and the checks that they share: text in UTF-8, names inside the folder, captions with words."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath, PureWindowsPath

from soli.disks import told
from soli.interfaces import SoliError
from soli.printing import first_few

SPLITS = ("train", "val", "test")
LONGEST_CAPTION = 10_000  # characters: a hundred times a usual caption; a quote that does not close makes such
LONGEST_NAME = 1_000
HALF = re.compile("[\ud800-\udfff]")  # of a character that JSON writes as two
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True)
class Record:
    """One photograph as a caption file has it: its name relative to the image folder, its split (None: in no split) and its captions."""

    image: str
    split: str | None
    captions: tuple[str, ...]


def find_root(root: str | None, dataset: str) -> Path:
    """The folder of a dataset. Raises SoliError when it is not set or is no folder."""
    if root is None:
        raise SoliError(
            f"dataset.root is not set: give the folder with the photographs and captions, for example dataset.root=data/{dataset}."
        )
    folder = Path(root).expanduser()
    if not folder.is_dir():
        kind = "is not a folder" if folder.exists() else "does not exist"
        what = "your photographs" if dataset == "folder" else dataset
        raise SoliError(f"dataset.root is {str(root)!r}, which {kind}: give the folder of {what} (relative paths start at {Path.cwd()}).")
    return folder


def find_file(root: Path, names: Sequence[str], what: str) -> Path:
    """The first of these files that exists below root. Raises SoliError that says what was looked for and what is there."""
    for name in names:
        if (root / name).is_file():
            return root / name
    raise SoliError(f"{root} has no {what}: looked for {', '.join(names)}; {contents(root)}.")


def contents(folder: Path, most: int = 10) -> str:
    """What a folder holds, for a message."""
    names = sorted(path.name + ("/" if path.is_dir() else "") for path in folder.iterdir())
    if not names:
        return "the folder is empty"
    return f"there are {first_few(names, most)}"


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, with or without a byte order mark. Raises SoliError that names the file and the line."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SoliError(f"{path} cannot be read: {told(error).lower()}.") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise SoliError(f"{path}, line {line}: the text is not UTF-8 (byte 0x{data[error.start]:02x}); save the file as UTF-8.") from error


def clean(records: Iterable[Record], source: Path, notices: list[str]) -> list[Record]:
    """Records, each caption on one line with single spaces; what is dropped is counted in the notices.

    Raises:
        SoliError: a name leaves the image folder, a photograph is listed twice in a split, or nothing is left.
    """
    kept, num_empty, bare = [], 0, []
    for record in records:
        _check_name(record.image, source)
        _check_captions(record, source)
        captions = tuple(filter(None, (" ".join(caption.split()) for caption in record.captions)))
        num_empty += len(record.captions) - len(captions)
        if captions:
            kept.append(replace(record, captions=captions))
        else:
            bare.append(record.image)
    if num_empty:
        notices.append(f"{counted(num_empty, 'empty caption')} of {source.name} left out.")
    if bare:
        notices.append(f"{counted(len(bare), 'photograph')} without captions in {source.name} left out; the first: {bare[0]}.")
    if not kept:
        raise SoliError(f"{source} has no photograph with a caption: add some.")
    _check_repetitions(kept, source, notices)
    return kept


def counted(number: int, noun: str) -> str:
    """For example "1 photograph", "2,000 photographs"."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _check_name(name: str, source: Path) -> None:
    is_odd = not name.isprintable() and CONTROL.search(name)
    if is_odd or len(name) > LONGEST_NAME or (len(name) > 60 and any(len(part.encode()) > 255 for part in name.split("/"))):
        raise SoliError(
            f"{source} names the photograph {name[:60]!r}: names have at most {LONGEST_NAME:,} characters, 255 bytes between slashes, "
            "and no control characters."
        )
    if name.strip(".") and name[0] != "/" and not any(mark in name for mark in ("..", "\\", ":")):
        return  # nearly all names; the questions below are slow
    for kind in (PurePosixPath, PureWindowsPath):
        path = kind(name)
        if not path.name or path.is_absolute() or path.drive or path.root or ".." in path.parts:
            raise SoliError(f"{source} names the photograph {name!r}: names must be relative and stay inside the image folder.")


def _check_captions(record: Record, source: Path) -> None:
    for caption in record.captions:
        if len(caption) > LONGEST_CAPTION:
            raise SoliError(
                f"{source} has a caption of {len(caption):,} characters for {record.image}, and {LONGEST_CAPTION:,} are the most: "
                "is a quote not closed before it?"
            )
        if not caption.isascii() and HALF.search(caption):
            raise SoliError(
                f"{source} has half a character (\\ud800 to \\udfff) in a caption of {record.image}: write the whole one, or none."
            )


def _check_repetitions(records: Sequence[Record], source: Path, notices: list[str]) -> None:
    listed = Counter((record.image, record.split) for record in records if record.split is not None)
    twice = [name for (name, _), count in listed.items() if count > 1]
    if twice:
        raise SoliError(
            f"{source} lists {counted(len(twice), 'photograph')} more than once in a split; the first: {twice[0]}. List each once."
        )
    splits = Counter(name for name, _ in listed)
    shared = [name for name, count in splits.items() if count > 1]
    if shared:
        notices.append(f"{counted(len(shared), 'photograph')} in more than one split; the first: {shared[0]}.")
