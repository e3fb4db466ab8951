"""What may go wrong with a folder that several processes write to: it is full, it is forbidden, another is at work."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from soli.disks import remedy, told
from soli.interfaces import SoliError

LOCK = "lock"
PAUSE = 0.1  # seconds between two looks at whether another process is done


@contextmanager
def reporting(path: Path) -> Iterator[None]:
    """Turns an OSError into a SoliError that says what to do about it."""
    try:
        yield
    except OSError as reason:
        raise SoliError(
            f"features.cache: {path} cannot be used ({told(reason)}). {remedy(reason)}, or give another folder; "
            "what is in it already is kept."
        ) from reason


def make_folder(folder: Path) -> None:
    """Raises SoliError for a folder that cannot be made."""
    with reporting(folder):
        folder.mkdir(parents=True, exist_ok=True)


@contextmanager
def alone(folder: Path, say: Callable[[str], None], check_stop: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Makes the folder, and waits until no other process computes features in it. A process that dies gives up its lock.

    `check_stop` is called while it waits, and may raise KeyboardInterrupt.
    Raises SoliError for a folder that cannot be made or locked, and on a system without such locks.
    """
    make_folder(folder)
    with reporting(folder):
        lock = open(folder / LOCK, "wb")  # noqa: SIM115 - the next line closes it
    with lock:
        with reporting(folder):
            _lock(lock, folder, say, check_stop)
        yield


def _lock(file: BinaryIO, folder: Path, say: Callable[[str], None], check_stop: Callable[[], None]) -> None:
    try:
        import fcntl  # Windows has none
    except ImportError as reason:
        raise SoliError("A feature cache needs a system that can lock files, which Windows cannot: leave features.cache out.") from reason
    has_said = False
    while True:
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not has_said:
                say(f"Another process computes features in {folder}: waiting for it.")
            has_said = True
        check_stop()
        time.sleep(PAUSE)
