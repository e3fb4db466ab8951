"""Archives of strangers unpacked: nothing outside the folder, nothing beyond the limits, the whole archive or nothing."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tqdm import tqdm

from soli.datasets.archive_entries import Archive, Entry, open_archive, reading
from soli.datasets.archive_names import EntryNames
from soli.datasets.unfinished import unfinished
from soli.disks import writing
from soli.interfaces import SoliError
from soli.json_text import read_object
from soli.printing import printable

RECORD = ".unpacked.json"  # in a folder that is whole: which archive it came from
CHUNK = 2**18  # bytes
HEADERS = 2048  # bytes of a tar file's headers and padding, of each entry
SPARE_BYTES = 2**26  # what a disk must keep free
SHOW_PROGRESS_FROM = 2**26  # bytes of an archive
OTHERWISE = "choose another folder"


@dataclass(frozen=True)
class Limits:
    """What an archive may expand to. `total_bytes` of all files together, but no more than `ratio` times the archive's own size where that
    is above `always_bytes`; so many `entries`; so many folders deep (`depth`)."""

    total_bytes: int = 2**36
    entries: int = 1_000_000
    ratio: int = 100
    always_bytes: int = 2**24
    depth: int = 16

    def bytes_of(self, archive_bytes: int) -> int:
        """The most bytes that an archive of this size may expand to."""
        return min(self.total_bytes, max(self.always_bytes, self.ratio * archive_bytes))


def unpack(archive: Path, folder: Path, limits: Limits | None = None, wanted: Callable[[str], bool] | None = None) -> bool:
    """Unpacks an archive into a new folder. Returns False where that was done before, or meanwhile, and nothing is left to do.

    Everything is written to a folder beside it that gets its name at the end: `folder` is whole, or not there. What an interrupted
    unpacking left beside it is removed. Archives within the archive stay as they are; empty folders, modes, owners and times are left out.

    Args:
        archive: a zip, tar, tar.gz, tar.bz2, tar.xz or single gz, bz2, xz file, whatever its name.
        folder: must not exist, unless the same archive was unpacked to it before (same name, size and time of change).
        limits: what the archive may expand to.
        wanted: by the name of an entry, whether its file is written; None: all are. Entries that are not must have safe names too.

    Raises:
        SoliError: the archive is missing, damaged, encrypted, no archive, or beyond the limits; a name leaves the folder, or is that of
            another entry; an entry is a link or a device; the disk is full; the folder holds something else.
    """
    limits = limits or Limits()
    stamp = _stamp(archive)
    if os.path.lexists(folder):
        if _record(folder) == stamp:
            return False
        raise SoliError(f"{folder} is there already, and is not what {archive} unpacks to: give a new folder, or remove it.")
    with unfinished(folder, OTHERWISE) as partial:
        _unpack_all(archive, partial, limits, wanted or (lambda name: True))
        with writing(folder, OTHERWISE):
            (partial / RECORD).write_text(json.dumps(stamp) + "\n", encoding="utf-8")
            try:
                os.rename(partial, folder)
            except OSError:
                if _record(folder) == stamp:  # another process was quicker
                    return False
                raise
    return True


def _stamp(archive: Path) -> dict[str, str | int]:
    if not archive.is_file():
        raise SoliError(f"{archive} {'is no file' if archive.exists() else 'does not exist'}: give an archive.")
    found = archive.stat()
    return {"archive": archive.name, "bytes": found.st_size, "changed_ns": found.st_mtime_ns}


def _record(folder: Path) -> object:
    try:
        return None if folder.is_symlink() else read_object(folder / RECORD)
    except (OSError, ValueError):
        return None


def _unpack_all(archive: Path, folder: Path, limits: Limits, wanted: Callable[[str], bool]) -> None:
    archive_bytes = archive.stat().st_size
    most = limits.bytes_of(archive_bytes)
    with open_archive(archive, most + HEADERS * limits.entries) as opened:
        _check_size(archive, opened, folder, most, wanted)
        names, written = EntryNames(limits.depth, [RECORD]), 0
        name, hidden = printable(archive.name), archive_bytes < SHOW_PROGRESS_FROM
        with tqdm(total=archive_bytes, desc=name, unit="B", unit_scale=True, leave=False, disable=hidden or None) as progress:
            for number, entry in enumerate(_entries(archive, opened), start=1):
                if number > limits.entries:
                    raise SoliError(f"{archive} has more than {limits.entries:,} entries: it may be made to fill the disk.")
                target = _target(archive, folder, entry, names, wanted)
                if target is not None:
                    written = _write(archive, entry, target, written, most)
                progress.update(opened.position() - progress.n)


def _check_size(archive: Path, opened: Archive, folder: Path, most: int, wanted: Callable[[str], bool]) -> None:
    """Before anything is written; what is written is counted again."""
    declared = opened.size(wanted)
    if declared is not None and declared > most:
        raise _too_large(archive, most)
    needed = SPARE_BYTES + (archive.stat().st_size if declared is None else declared)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise SoliError(
            f"{archive} needs {needed / 2**30:.1f} GiB in {folder.parent}, which has {free / 2**30:.1f} GiB free: "
            "free some space, or choose a folder on another disk."
        )


def _too_large(archive: Path, most: int) -> SoliError:
    return SoliError(
        f"{archive} expands to more than {most:,} bytes, which is too much for an archive of {archive.stat().st_size:,}: "
        "it may be made to fill the disk. If you trust it, unpack it yourself, and give the folder."
    )


def _entries(archive: Path, opened: Archive) -> Iterator[Entry]:
    entries = opened.entries()
    while True:
        with reading(archive):
            entry = next(entries, None)
        if entry is None:
            return
        yield entry


def _target(archive: Path, folder: Path, entry: Entry, names: EntryNames, wanted: Callable[[str], bool]) -> Path | None:
    """Where an entry's file is written to; None: nowhere. Makes folders."""
    try:
        parts = names.parts(entry.name)
        if entry.complaint is not None:
            raise ValueError(entry.complaint)
        if not entry.is_folder and not parts:
            raise ValueError("is no name of a file")
        if entry.is_folder or not wanted("/".join(parts)):
            return None
        names.use(parts)
    except SoliError:
        raise
    except ValueError as reason:
        shown = entry.name if len(entry.name) <= 100 else f"{entry.name[:100]}..."
        raise SoliError(
            f"{archive}: the entry {shown!r} {reason}. Nothing was unpacked: take the archive from its own source, or unpack it yourself."
        ) from reason
    target = folder.joinpath(*parts)
    with writing(target, OTHERWISE):
        target.parent.mkdir(parents=True, exist_ok=True)
    return target


def _write(archive: Path, entry: Entry, target: Path, written: int, most: int) -> int:
    """Writes a file. Returns how many bytes have been written in all."""
    with reading(archive):
        source: IO[bytes] = entry.open()
    with writing(target, OTHERWISE), open(target, "xb") as file:
        while True:
            with reading(archive):
                chunk = source.read(CHUNK)
            if not chunk:
                return written
            written += len(chunk)
            if written > most:
                raise _too_large(archive, most)
            file.write(chunk)
