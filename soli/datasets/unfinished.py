"""New folders that are whole or not there: filled beside their place under another name; and locks of folders, which end with a process."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from soli.disks import writing


@contextmanager
def unfinished(folder: Path, otherwise: str) -> Iterator[Path]:
    """A new folder beside, locked as long as this process lives; removed unless it was renamed. So is what dead processes left there.

    Raises SoliError for a place that cannot be written; `otherwise`: what else the user may do about it, as of disks.writing.
    """
    with writing(folder, otherwise):
        folder.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(folder)
        partial, held = _new(folder)
    try:
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        if held is not None:
            os.close(held)


def lock(folder: Path, wait: bool = False) -> int | None:
    """A lock on a folder, which the system takes back when the descriptor is closed, or this process ends.

    None: the system or the disk locks nothing, or nothing of this user's. `wait`: until another process gives it up.

    Raises:
        BlockingIOError: another process holds it, and this one does not wait.
        FileNotFoundError: the folder is not there any more.
    """
    try:
        import fcntl  # Windows has none
    except ImportError:
        return None
    try:
        held = os.open(folder, os.O_RDONLY)
    except PermissionError:
        return None
    try:
        fcntl.flock(held, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.path.samestat(os.fstat(held), os.stat(folder)):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(folder))
    except (BlockingIOError, FileNotFoundError):
        os.close(held)
        raise
    except OSError:  # as some disks of networks say
        os.close(held)
        return None
    return held


def _new(folder: Path) -> tuple[Path, int | None]:
    """Before it is locked, another process may take a new folder for a leftover and remove it: then another is made."""
    while True:
        partial = folder.with_name(_prefix(folder) + secrets.token_hex(4))
        partial.mkdir()
        try:
            return partial, lock(partial, wait=True)
        except FileNotFoundError:
            continue


def _remove_leftovers(folder: Path) -> None:
    """Of processes that have died; another's that goes on holds its lock."""
    for leftover in [path for path in folder.parent.iterdir() if path.name.startswith(_prefix(folder))]:
        try:
            held = lock(leftover)
        except (BlockingIOError, FileNotFoundError):
            continue
        if held is not None:
            shutil.rmtree(leftover, ignore_errors=True)
            os.close(held)


def _prefix(folder: Path) -> str:
    return f".{folder.name}.unfinished-"
