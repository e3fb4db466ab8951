"""Files that are whole: an interrupted or failed write leaves what was there."""

from __future__ import annotations

import os
from pathlib import Path


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
