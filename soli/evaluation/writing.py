"""Folders for results, and files that are whole: an interrupted or failed write leaves what was there."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from soli.disks import write_whole

__all__ = ["making", "write_whole"]


@contextlib.contextmanager
def making(folder: Path) -> Iterator[None]:
    """Makes a folder first, so that one without permission is found before the long work in it.

    Where that work fails before anything was written, the folders that were made are taken away again.
    """
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        for path in new:
            with contextlib.suppress(OSError):  # something lies in it
                path.rmdir()
        raise
