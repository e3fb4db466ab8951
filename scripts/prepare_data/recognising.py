"""What the user has given: which photographs of which dataset lie where, and what kind each caption file is, whatever it is called."""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from facts import DATASETS, Facts, dataset_of

from soli.datasets.archive_entries import kind_of
from soli.disks import told
from soli.interfaces import SoliError

PHOTOGRAPHS = (".jpg", ".jpeg", ".png")
ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz")
TEXTS = (".json", ".txt", ".csv", ".token")
SPLIT_LIST = re.compile(r"(train|dev|val|test)images", re.IGNORECASE)
SPLITS = {"train": "train", "dev": "val", "val": "val", "test": "test"}
COCO_CAPTIONS = re.compile(r"captions_(train|val)20(14|17)", re.IGNORECASE)
KARPATHY_NAME = re.compile(r'"dataset"\s*:\s*"(\w+)"')
TOKEN_LINE = re.compile(r"(\S+?\.jpg)(\.\d+)?#\d+\t")
TELLING = re.compile(r"dataset_|captions|token|images\.txt|results", re.IGNORECASE)  # names from which captions are expected
LEFT_BEHIND = ("thumbs.db", "desktop.ini")
HEAD = 4096  # bytes of a caption file that tell what it is


@dataclass
class Found:
    """Of one dataset: `photographs`, the places of each name; `texts`, those of each kind of caption file. What is there besides:
    `extras`, caption files that soli does not need; `others`, photographs and caption files of other datasets, counted by what they are;
    `archives` that lie in folders; `ignored`, the number of files that say nothing."""

    photographs: dict[str, list[Path]] = field(default_factory=lambda: defaultdict(list))
    texts: dict[str, list[Path]] = field(default_factory=lambda: defaultdict(list))
    extras: list[Path] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    archives: list[Path] = field(default_factory=list)
    ignored: int = 0

    @property
    def is_empty(self) -> bool:
        return not (self.photographs or self.texts or self.extras)

    def add(self, more: Found) -> None:
        """Adds all that another has found, behind what is here."""
        for mine, theirs in ((self.photographs, more.photographs), (self.texts, more.texts)):
            for name, places in theirs.items():
                mine[name] += places
        self.extras += more.extras
        self.others += more.others
        self.ignored += more.ignored

    def count_other(self, photograph: str) -> None:
        """Counts a photograph of another dataset by its name."""
        owner = dataset_of(photograph)
        self.others[f"photographs of {owner.title}" if owner else "photographs of no dataset known here"] += 1


def is_debris(name: str) -> bool:
    """Whether a file is one of those that macOS and Windows leave behind."""
    parts = PurePosixPath(name).parts
    return "__MACOSX" in parts or any(part.startswith(".") for part in parts) or PurePosixPath(name).name.lower() in LEFT_BEHIND


def is_wanted(name: str, facts: Facts) -> bool:
    """Whether an archive's file can be of use for a dataset: a photograph of its, or a caption file."""
    base = PurePosixPath(name).name
    if is_debris(name):
        return False
    if base.lower().endswith(PHOTOGRAPHS):
        return facts.pattern.fullmatch(base) is not None
    return base.lower().endswith(TEXTS) and not re.match(r"instances_|person_keypoints_", base)


def look_at_file(path: Path, facts: Facts, found: Found) -> None:
    """Adds a file to what was found."""
    name = path.name
    lower = name.lower()
    if is_debris(name):
        return
    if lower.endswith(PHOTOGRAPHS):
        if dataset_of(name) is facts:
            found.photographs[name].append(path)
        else:
            found.count_other(name)
    elif lower.endswith(ARCHIVES):
        if facts.archives.search(name):
            found.archives.append(path)
        else:
            found.ignored += 1
    else:
        _look_at_text(path, facts, found)


def _look_at_text(path: Path, facts: Facts, found: Found) -> None:
    owner, kind = _kind_of_text(path)
    if kind is None:
        found.ignored += 1
    elif owner != facts.name:
        found.others[f"caption files of {DATASETS[owner].title if owner in DATASETS else owner}"] += 1
    elif kind in facts.files:
        found.texts[kind].append(path)
    else:
        found.extras.append(path)


def _kind_of_text(path: Path) -> tuple[str, str | None]:
    """The dataset and the kind of a caption file; the kind None: it is none."""
    name = path.name.lower()
    if not name.endswith(TEXTS):
        return "", None
    try:
        kind_of(path)
    except SoliError:  # empty, or a web page
        if TELLING.search(name):
            raise
        return "", None
    if name.endswith(".json"):
        return _kind_of_json(path)
    lines = [line for line in _ends(path)[0].lstrip("\ufeff").splitlines() if line.strip()][:2]
    first, second = [*lines, "", ""][:2]
    if (token := TOKEN_LINE.match(first)) and "lemma" not in name:
        return _owner(token[1]), "token"
    if first.replace(" ", "").lower() == "image,caption":
        return _owner(second.split(",")[0]), "kaggle"
    if first.startswith("image_name"):
        return "flickr30k", "results"
    if (split := SPLIT_LIST.search(name)) and dataset_of(first.strip()):
        return _owner(first.strip()), SPLITS[split[1]]
    return "", None


def _kind_of_json(path: Path) -> tuple[str, str | None]:
    if COCO_CAPTIONS.match(path.name):
        return "coco", "annotations"
    head, tail = _ends(path)
    said = KARPATHY_NAME.search(tail) or KARPATHY_NAME.search(head)
    called = re.match(r"dataset_(flickr8k|flickr30k|coco)\b", path.name.lower())
    owner = said[1] if said else called[1] if called else ""
    return (owner, "karpathy") if owner and ("sentences" in head or called) else ("", None)


def _owner(photograph: str) -> str:
    owner = dataset_of(photograph.strip())
    return owner.name if owner else "no dataset known here"


def _ends(path: Path) -> tuple[str, str]:
    """The first and the last characters of a file."""
    try:
        with open(path, "rb") as file:
            head = file.read(HEAD)
            file.seek(max(0, os.path.getsize(path) - HEAD))
            return head.decode("utf-8", "replace"), file.read().decode("utf-8", "replace")
    except OSError as error:
        raise SoliError(f"{path} cannot be read: {told(error).lower()}.") from error


def files_below(folder: Path, seen: set[str] | None = None) -> Iterator[Path]:
    """All files of a folder, in order, without hidden folders and debris; links to folders are followed, each folder is visited once."""
    seen = set() if seen is None else seen
    real = os.path.realpath(folder)
    if real in seen:
        return
    seen.add(real)
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise SoliError(f"{folder} cannot be read: {told(error).lower()}.") from error
    for entry in entries:
        if is_debris(entry.name):
            continue
        if entry.is_dir():
            yield from files_below(Path(entry.path), seen)
        elif entry.is_file():
            yield Path(entry.path)
