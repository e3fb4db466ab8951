"""What a user can do about an error of a disk, one sentence for each kind of it; and files that are whole or not there."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from soli.interfaces import SoliError

FULL, FORBIDDEN, READ_ONLY = {errno.ENOSPC, errno.EDQUOT}, {errno.EACCES, errno.EPERM}, {errno.EROFS}
NUMBER = re.compile(r"os error (\d+)")  # as libraries written in Rust tell it


def error_number(reason: BaseException) -> int | None:
    """The system's number of an error, which safetensors has in its sentence alone; None: it has none."""
    found = NUMBER.search(str(reason))
    return getattr(reason, "errno", None) or (int(found[1]) if found else None)


def told(reason: BaseException) -> str:
    """What the system says of the error, without its number."""
    number = error_number(reason)
    return os.strerror(number) if number is not None else str(reason).rstrip(".") or type(reason).__name__


def remedy(reason: BaseException) -> str:
    """What to do at the place where the error arose, without a full stop at its end."""
    number = error_number(reason)
    if number in FULL:
        return "Free some space there"
    if number in FORBIDDEN:
        return "Give yourself permission to write there"
    if number in READ_ONLY:
        return "The disk is read-only: make it writable again"
    return "Check the path"


def remedy_elsewhere(reason: BaseException) -> str | None:
    """What to do where another place may be chosen; None for errors that are not the disk's."""
    number = error_number(reason)
    if number in FULL:
        return "Free some space, or choose a folder on another disk."
    if number in FORBIDDEN:
        return "Check its permissions, or choose another path."
    return "Nothing can be written there: choose another path." if number in READ_ONLY else None


@contextmanager
def writing(path: Path, otherwise: str) -> Iterator[None]:
    """Turns an OSError into a SoliError that says what to do about it. `otherwise`: what else may be done, as "choose another folder"."""
    try:
        yield
    except OSError as error:
        raise SoliError(f"{path} cannot be written: {told(error).lower()}. {remedy(error)}, or {otherwise}.") from error


def write_whole(path: Path, content: str | bytes) -> None:
    """Writes beside `path`, then moves the file into place: an interrupted write and a crash of the machine leave what was there.

    Text becomes UTF-8, half characters \\udXXX. Raises OSError with the path, which a full disk alone does not tell.
    """
    partial = path.with_name(f"{path.name}.partial")
    try:
        with open(partial, "wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode("utf-8", "backslashreplace"))
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as reason:
        with contextlib.suppress(OSError):  # a disk that takes nothing may not give it back either
            partial.unlink(missing_ok=True)
        raise OSError(reason.errno, reason.strerror, str(path)) from reason
