"""Files that are whole: an interrupted or failed write leaves what was there."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


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


def write_whole(path: Path, text: str) -> None:
    """Writes beside `path`, then moves the file into place. Raises OSError with the path; half characters are written as \\udXXX."""
    partial = path.with_name(f"{path.name}.partial")
    try:
        with open(partial, "w", encoding="utf-8", errors="backslashreplace", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as reason:
        partial.unlink(missing_ok=True)
        raise OSError(reason.errno, reason.strerror, str(path)) from reason  # a full disk does not say where
