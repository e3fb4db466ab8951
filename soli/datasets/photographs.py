"""Photographs with captions, in splits: what every reader of caption files becomes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from soli.datasets.images import read_photograph
from soli.datasets.records import SPLITS, Record, clean, contents, counted
from soli.disks import told
from soli.interfaces import Example, SoliError


class PhotographDataset:
    """The photographs that a caption file names. Its readers are subclasses; it satisfies interfaces.CaptionDataset.

    Args:
        name: as in the config group.
        source: the caption file, for messages.
        records: what the caption file says; those in no split are left out and counted.
        image_folders: candidates; the first that exists and holds the first photograph is taken.
        limit: only the first so many photographs of each split.
        reference_side: the longer side of the originals in pixels, if the photographs were shrunk before; else None.
        notices: sentences from the reader about what it left out.
        partial: whether names without a file are left out; `absent` has them.

    Raises:
        SoliError: no image folder, names without a file, names outside of the folder, repetitions, or nothing left.
    """

    def __init__(
        self,
        name: str,
        source: Path,
        records: Sequence[Record],
        image_folders: Sequence[Path],
        limit: int | None = None,
        reference_side: int | None = None,
        notices: Sequence[str] = (),
        partial: bool = False,
    ) -> None:
        for key, number in (("limit", limit), ("reference_side", reference_side)):
            if number is not None and number < 1:
                raise SoliError(f"dataset.{key} is {number}: give a number from 1 on, or null.")
        self.name, self.source, self.reference_side = name, source, reference_side
        self.notices = list(notices)
        self.absent: list[str] = []
        records = clean(records, source, self.notices)
        if partial:
            records = self._present(records, image_folders)
        by_split = {split: [record for record in records if record.split == split][:limit] for split in SPLITS}
        used = [record.image for members in by_split.values() for record in members]
        if not used:
            raise SoliError(f"{source} has no photograph in any of the splits {', '.join(SPLITS)}.")
        self.image_folder = _find_image_folder(image_folders, used[:1])
        _check_files(self.image_folder, used, source)
        self.notices += _unused(self.image_folder, [record.image for record in records if record.split is None], source)
        self._examples = {
            split: [Example(record.image, record.captions, self.image_folder / record.image) for record in members]
            for split, members in by_split.items()
            if members
        }

    def _present(self, records: Sequence[Record], image_folders: Sequence[Path]) -> list[Record]:
        """The records whose photograph is there, and those in no split."""
        used = [record.image for record in records if record.split is not None]
        folder = _find_image_folder(image_folders, used)
        self.absent = _without_file(folder, used)
        if not self.absent:
            return list(records)
        if len(self.absent) == len(used):
            raise SoliError(f"{folder} has none of the {counted(len(used), 'photograph')} that {self.source} names: add the files.")
        self.notices.append(
            f"{counted(len(self.absent), 'photograph')} of {self.source.name} without a file left out (dataset.partial); the first: "
            f"{self.absent[0]}."
        )
        absent = set(self.absent)
        return [record for record in records if record.split is None or record.image not in absent]

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that have photographs."""
        return tuple(self._examples)

    def examples(self, split: str) -> list[Example]:
        """The photographs of a split, in the order of the caption file. Raises SoliError for a split without any."""
        if split not in self._examples:
            there = ", ".join(f"{name} ({len(members):,})" for name, members in self._examples.items())
            raise SoliError(f"{self.source} has no photographs in the split {split!r}; there are {there}. Put some into it, or add more.")
        return self._examples[split]

    def read_image(self, example: Example) -> np.ndarray:
        """The photograph, upright RGB, uint8 (H, W, 3). Raises SoliError for a file that cannot be read."""
        return read_photograph(example.path)

    def fingerprint(self, example: Example) -> str:
        """The SHA-256 of the file's bytes. Raises SoliError for a file that cannot be read."""
        try:
            return hashlib.sha256(example.path.read_bytes()).hexdigest()
        except FileNotFoundError as error:
            raise SoliError(f"The photograph {example.path} does not exist.") from error
        except OSError as error:
            raise SoliError(f"The photograph {example.path} cannot be read: {told(error).lower()}.") from error


def _find_image_folder(candidates: Sequence[Path], images: Sequence[str]) -> Path:
    """The first that has one of the photographs."""
    existing = [folder for folder in candidates if folder.is_dir()]
    if not existing:
        root = candidates[0].parent
        raise SoliError(f"{root} has no folder of photographs: looked for {', '.join(str(path) for path in candidates)}; {contents(root)}.")
    return next((folder for folder in existing if len(_without_file(folder, images)) < len(images)), existing[0])


def _check_files(folder: Path, images: Sequence[str], source: Path) -> None:
    missing = _without_file(folder, images)
    if missing:
        raise SoliError(
            f"{source} names {counted(len(missing), 'photograph')} (of {len(images):,}) without a file in {folder}; "
            f"the first: {missing[0]}. Add the files, or go on without these photographs: dataset.partial=true."
        )


def _unused(folder: Path, images: Sequence[str], source: Path) -> list[str]:
    """Sentences about the names that have captions but belong to no split."""
    missing = _without_file(folder, images)
    sentences = []
    if len(images) > len(missing):
        sentences.append(f"{counted(len(images) - len(missing), 'photograph')} of {source.name} in no split left out.")
    if missing:
        sentences.append(
            f"{counted(len(missing), 'name')} of {source.name} without a file, in no split, left out; the first: {missing[0]}."
        )
    return sentences


def _without_file(folder: Path, images: Sequence[str]) -> list[str]:
    """The names that no file has. Lists each folder once, which is faster than asking for each file."""
    listings: dict[str, set[str]] = {}
    missing = []
    for image in images:
        parent, name = os.path.split(image)
        if parent not in listings:
            listings[parent] = set(os.listdir(folder / parent)) if (folder / parent).is_dir() else set()
        if name not in listings[parent]:
            missing.append(image)
    return missing
