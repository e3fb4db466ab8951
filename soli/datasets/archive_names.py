"""Names of an archive's entries: relative, short, and each a file of its own on every file system; whatever else is refused."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

NAME_BYTES = 255  # of one part, the most that usual file systems take
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")  # Unicode's category Cc


def split(name: str) -> tuple[str, ...]:
    """The folders and the name of an entry, without what names no place; of the archive's own root nothing. The name is not checked."""
    return tuple(part for part in name.split("/") if part not in ("", "."))


class EntryNames:
    """The names that an archive has used so far.

    Two names are the same where some file system takes them for the same: without case, however their letters are composed, and without
    the spaces and dots at the end of a part.
    """

    def __init__(self, depth: int, reserved: Iterable[str] = ()) -> None:
        """`depth`: the most parts of a name. `reserved` names count as used."""
        self.depth = depth
        self._used: dict[str, tuple[str, bool]] = {_key(name): (name, False) for name in reserved}

    def parts(self, name: str) -> tuple[str, ...]:
        """The folders and the name of an entry; of the archive's own root nothing. Raises ValueError: a predicate of the name."""
        if CONTROL.search(name):
            raise ValueError("has a control character")
        if "\\" in name:
            raise ValueError("has a backslash")
        if not name.isascii() and _is_undecodable(name):
            raise ValueError("is no Unicode text")
        if name.startswith("/"):
            raise ValueError("is absolute")
        parts = split(name)
        for part in parts:
            if not part.strip(" ."):
                raise ValueError("leads out of its folder")
            if re.match(r"[A-Za-z]:", part):
                raise ValueError("has a drive letter")
            if len(part.encode()) > NAME_BYTES:
                raise ValueError(f"is longer than {NAME_BYTES} bytes")
        if len(parts) > self.depth:
            raise ValueError(f"lies more than {self.depth} folders deep")
        return parts

    def use(self, parts: tuple[str, ...]) -> None:
        """Of a file. Raises ValueError, a predicate of the name, where another entry is in its way."""
        for length in range(1, len(parts) + 1):
            name, of_folder = "/".join(parts[:length]), length < len(parts)
            spelling, was_folder = self._used.get(_key(name), (name, of_folder))
            if spelling != name:
                raise ValueError(f"differs from {spelling!r} only in what some file systems do not tell apart")
            if was_folder != of_folder:
                raise ValueError("is the name of a folder and of a file")
            if not of_folder and _key(name) in self._used:
                raise ValueError("is there twice")
            self._used[_key(name)] = (name, of_folder)


def _is_undecodable(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return True
    return False


def _key(name: str) -> str:
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return "/".join(part.rstrip(" .") for part in folded.split("/"))
