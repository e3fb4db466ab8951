"""One preparation at a time in a folder: a second one would take what the first has just unpacked for leftovers."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from placing import OTHERWISE

from soli.datasets.unfinished import lock
from soli.disks import writing
from soli.interfaces import SoliError


@contextlib.contextmanager
def alone(out: Path) -> Iterator[None]:
    """Makes the folder, and holds it as long as this process lives; of what it made, it removes at the end what is empty.

    Raises SoliError where another process holds it, and for a folder that cannot be made.
    """
    made, held = _take(out)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # something is in it
            for folder in made:
                folder.rmdir()
        if held is not None:
            os.close(held)


def _take(out: Path) -> tuple[list[Path], int | None]:
    """The folders that were made, the inner first, and the lock; None where the system or the disk locks nothing."""
    while True:
        made = [folder for folder in (out, *out.parents) if not folder.exists()]
        with writing(out, OTHERWISE):
            out.mkdir(parents=True, exist_ok=True)
        try:
            return made, lock(out)
        except BlockingIOError as error:
            raise SoliError(f"Another process prepares {out}: wait until it ends, or {OTHERWISE}.") from error
        except FileNotFoundError:  # another one has just ended, and left nothing
            continue
