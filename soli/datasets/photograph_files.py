"""What of a photograph's file is quick to compare: its size and its end."""

from __future__ import annotations

import hashlib
import os

from soli.interfaces import Example, SoliError

END = 4096  # bytes


def file_size(example: Example) -> int:
    """In bytes; 0 of a drawn picture. Raises SoliError for a file that cannot be read."""
    try:
        return 0 if example.path is None else os.path.getsize(example.path)
    except OSError as error:
        raise _unreadable(example, error) from error


def file_end(example: Example) -> str:
    """The SHA-256 of the last 4096 bytes, in hexadecimal digits; empty of a drawn picture. Raises SoliError like file_size."""
    if example.path is None:
        return ""
    try:
        with open(example.path, "rb") as file:
            file.seek(-min(END, os.fstat(file.fileno()).st_size), os.SEEK_END)
            return hashlib.sha256(file.read()).hexdigest()
    except OSError as error:
        raise _unreadable(example, error) from error


def _unreadable(example: Example, error: OSError) -> SoliError:
    return SoliError(f"The photograph {example.path} cannot be read: {(error.strerror or str(error)).lower()}.")
