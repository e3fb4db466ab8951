"""Puts what was found where soli reads it: unpacked files are moved, others copied or linked, each whole or not at all."""

from __future__ import annotations

import filecmp
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from facts import Facts
from recognising import PHOTOGRAPHS, Found, is_debris
from shrinking import is_copy, shrink
from tqdm import tqdm

from soli.datasets.archives import SPARE_BYTES
from soli.datasets.flickr_text import read_kaggle_file, read_token_file
from soli.datasets.images import unreadable
from soli.datasets.karpathy import read_karpathy
from soli.datasets.records import counted
from soli.disks import told, writing
from soli.interfaces import Example, SoliError
from soli.printing import first_few

WORK = ".preparing"  # in the prepared folder, until all is in place: what archives hold
TEXT_FOLDERS = ("Flickr8k_text", "annotations")  # in which soli looks for caption files, too
SHOW_PROGRESS_FROM = 2000  # files
OTHERWISE = "give another --out"


@dataclass(frozen=True)
class Manner:
    """How files of folders are placed: `link`ed rather than copied; or, with `size`, photographs (of archives, too) as copies whose shorter
    side has so many pixels, where they are larger."""

    link: bool = False
    size: int | None = None


@dataclass(frozen=True)
class Placed:
    """How many files came where they belong, by how, and how many were there already."""

    moved: int = 0
    copied: int = 0
    linked: int = 0
    shrunk: int = 0
    there: int = 0


def check_output(out: Path, facts: Facts, given: list[Path]) -> None:
    """Raises SoliError for a folder that holds what does not belong to the dataset, and for one that is no folder."""
    if not out.exists():
        return
    if not out.is_dir():
        raise SoliError(f"--out {out} is a file: give a folder, new or empty.")
    own = {folder.split("/")[0] for folder in facts.image_folders} | set(facts.files.values()) | set(TEXT_FOLDERS)
    own |= {"train2014", "val2014"} if facts.name == "coco" else set()
    sources = {path.resolve() for path in given}
    strange = [
        path.name + ("/" if path.is_dir() else "")
        for path in sorted(out.iterdir())
        if path.name not in own and not is_debris(path.name) and path.resolve() not in sources and not facts.archives.search(path.name)
    ]
    if strange:
        raise SoliError(
            f"--out {out} holds something else ({first_few(strange)}): "
            f"give a folder that is new, empty, or has only files of {facts.title}."
        )


def choose(found: Found, facts: Facts, out: Path, size: int | None = None) -> tuple[dict[str, Path], dict[str, Path]]:
    """Where each photograph and each kind of caption file is taken from, by its name in the prepared folder's image folder, or its kind.

    Raises:
        SoliError: different files with the same name, or photographs of COCO 2017 without the file that says their names of 2014.
    """
    photographs: dict[str, list[Path]] = {}
    names = _names_of_2014(found) if facts.name == "coco" else {}
    for name, places in found.photographs.items():
        relative = _relative(name, names)
        if relative is None:
            found.ignored += 1
        else:
            photographs.setdefault(relative, []).extend(places)
    if size is not None:
        photographs = {name: _originals(places, out) for name, places in photographs.items()}
    texts = {facts.files[kind]: places for kind, places in found.texts.items()}
    differing = [(name, *pair) for name, places in [*texts.items(), *photographs.items()] if (pair := _differing(places)) is not None]
    if differing:
        name, one, other = differing[0]
        advice = f"Remove {one} if the other is right" if _is_in_place(one, out) else "Give only one of the two"
        raise SoliError(
            f"{counted(len(differing), 'file')} there twice with different contents; the first: {name}, in {one.parent} and "
            f"in {other.parent}. {advice}."
        )
    return {name: _readable(places)[0] for name, places in photographs.items()}, {name: places[0] for name, places in texts.items()}


def _originals(places: list[Path], out: Path) -> list[Path]:
    """Without what is in place, which may be a smaller copy: it stays if it is one of what is given, or if that cannot be read."""
    given = [path for path in places if not _is_in_place(path, out)]
    return given if len(given) == len(places) or any(map(_is_readable, given)) else places[:1]


def check_texts(texts: Mapping[str, Path], facts: Facts) -> None:
    """Raises SoliError for a caption file that soli cannot read, before it is placed."""
    readers = {"karpathy": lambda path: read_karpathy(path, []), "token": read_token_file, "kaggle": read_kaggle_file}
    for kind, read in readers.items():
        if facts.files.get(kind) in texts:
            read(texts[facts.files[kind]])


def _names_of_2014(found: Found) -> dict[str, str]:
    """By the twelve digits of a photograph of COCO, its name with its folder; nothing where no photograph needs it."""
    if not any(name[0] == "0" for name in found.photographs):
        return {}
    if not found.texts.get("karpathy"):
        raise SoliError(
            "The photographs of COCO 2017 get their names of 2014 from dataset_coco.json: give it too (caption_datasets.zip, on "
            "https://cs.stanford.edu/people/karpathy/deepimagesent/)."
        )
    records = read_karpathy(found.texts["karpathy"][0], [])
    return {record.image[-16:-4]: record.image for record in records}


def _relative(name: str, names_of_2014: Mapping[str, str]) -> str | None:
    """A photograph's name in the image folder; None: the caption file does not have it."""
    if coco := re.fullmatch(r"COCO_(train|val)2014_\d{12}\.jpg", name):
        return f"{coco[1]}2014/{name}"
    if re.fullmatch(r"0\d{11}\.jpg", name):
        return names_of_2014.get(name[:12])
    return name


def _differing(places: list[Path]) -> tuple[Path, Path] | None:
    """The first two readable files of one name that are not the same."""
    if all(_are_same(places[0], other) for other in places[1:]):
        return None
    first, *others = _readable(places)
    return next(((first, other) for other in others if not _are_same(first, other)), None)


def _are_same(one: Path, other: Path) -> bool:
    return os.path.samefile(one, other) or filecmp.cmp(one, other, shallow=False)


def _readable(places: list[Path]) -> list[Path]:
    """Of several photographs, those that can be read; all where none can, or where there is only one, and of caption files."""
    if len(places) == 1 or not places[0].name.lower().endswith(PHOTOGRAPHS):
        return places
    return [path for path in places if _is_readable(path)] or places


def _is_readable(path: Path) -> bool:
    return not unreadable([Example(path.name, (), path)])


def place(photographs: Mapping[str, Path], texts: Mapping[str, Path], out: Path, facts: Facts, manner: Manner) -> Placed:
    """Photographs first, caption files last: as long as photographs are missing, no reader takes the folder for whole.

    Raises SoliError for a disk that is full, and for files that cannot be written or linked.
    """
    folder = next((out / name for name in facts.image_folders if (out / name).is_dir()), out / facts.image_folders[0])
    jobs = [(source, folder / name) for name, source in photographs.items()]
    for name, source in texts.items():
        jobs.append((source, source if _is_in_place(source, out) else out / name))
    open_jobs = [(source, target) for source, target in jobs if source != target]
    _check_space(open_jobs, out, manner)
    counts = {"moved": 0, "copied": 0, "linked": 0, "shrunk": 0, "there": len(jobs) - len(open_jobs)}
    for source, target in tqdm(open_jobs, desc="placing", unit="", leave=False, disable=len(open_jobs) < SHOW_PROGRESS_FROM or None):
        counts[_place(source, target, out, manner)] += 1
    return Placed(**counts)


def _check_space(jobs: list[tuple[Path, Path]], out: Path, manner: Manner) -> None:
    copied = [source for source, _ in jobs if manner == Manner() and not is_unpacked(source, out)]
    needed = sum(source.stat().st_size for source in copied)
    free = shutil.disk_usage(next(parent for parent in (out, *out.resolve().parents) if parent.is_dir())).free
    if copied and needed + SPARE_BYTES > free:
        raise SoliError(
            f"Copying takes {needed / 2**30:.1f} GiB in {out}, which has {free / 2**30:.1f} GiB free: "
            "give --link, which makes links in place of copies, or --out on another disk."
        )


def _place(source: Path, target: Path, out: Path, manner: Manner) -> str:
    """Returns how."""
    size = manner.size if target.name.lower().endswith(PHOTOGRAPHS) else None
    with writing(target, OTHERWISE), _reading(source):
        target.parent.mkdir(parents=True, exist_ok=True)
        if size is not None and target.is_file() and is_copy(target, source, size):
            return "there"
        if size is None and is_unpacked(source, out):
            os.replace(source, target)
            return "moved"
        (out / WORK).mkdir(exist_ok=True)
        partial = out / WORK / f"placing-{os.getpid()}"
        partial.unlink(missing_ok=True)
        if size is not None:
            shrink(source, partial, size)
        elif manner.link:
            os.symlink(source.resolve(), partial)
        else:
            shutil.copyfile(source, partial)
        os.replace(partial, target)
        return "shrunk" if size is not None else "linked" if manner.link else "copied"


def _is_in_place(source: Path, out: Path) -> bool:
    """Perhaps in a folder of its own in `out`, where soli finds it, too."""
    return out in source.parents and not is_unpacked(source, out)


def is_unpacked(source: Path, out: Path) -> bool:
    """Whether a file came out of an archive, so that it may be moved."""
    return out / WORK in source.parents


@contextmanager
def _reading(source: Path) -> Iterator[None]:
    """Turns the OSError of a source that cannot be read into a SoliError; what is written in the same context is not meant."""
    try:
        yield
    except OSError as error:
        if error.filename == str(source) and error.filename2 is None:
            raise SoliError(f"{source} cannot be read: {told(error).lower()}.") from error
        raise
