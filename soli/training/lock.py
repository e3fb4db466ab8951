"""One training at a time in a run folder: a lock that the system takes back when its process ends, however it ends."""

from __future__ import annotations

import contextlib
import errno
import os
import platform
from pathlib import Path
from types import ModuleType

from soli.disks import remedy, told
from soli.interfaces import SoliError

LOCK = "lock"
HELD = {errno.EAGAIN, errno.EACCES}  # by another process
WITHOUT = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}  # file systems that lock nothing


class RunLock:
    """Holds `<run>/lock` from `take` to the end of the context, in which it stands who holds it.

    The lock belongs to this process alone: those that it forks do not keep it when it dies, as they would keep one of `flock`.
    """

    def __init__(self) -> None:
        self._file: int | None = None
        self._path = Path()

    def take(self, folder: Path) -> None:
        """Makes the folder and locks it. On a system or a disk that cannot lock files it says so, and nothing is locked.

        Raises SoliError when another process trains there, and for a folder that cannot be written.
        """
        assert self._file is None, "a lock is taken once"
        self._path = folder / LOCK
        try:
            import fcntl  # Windows has none
        except ImportError:
            return
        try:
            folder.mkdir(parents=True, exist_ok=True)
            while self._file is None:
                self._file = self._try(fcntl)
        except OSError as reason:
            raise SoliError(
                f"The run folder {folder} cannot be written: {told(reason)}. {remedy(reason)}, or give another run_dir."
            ) from reason

    def _try(self, fcntl: ModuleType) -> int | None:
        """The open and locked file; None when its former holder has just removed it. Raises SoliError and OSError."""
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not _is_at(file, self._path):
                os.close(file)
                return None
            os.ftruncate(file, 0)
            os.write(file, f"{os.getpid()} on {platform.node()}\n".encode())
        except OSError as reason:
            if reason.errno in WITHOUT:
                print(f"The disk of {self._path.parent} cannot lock files: see to it that no two trainings run in this folder.")
                return file
            holder = os.read(file, 200).decode(errors="replace").strip() if reason.errno in HELD else ""
            os.close(file)
            if reason.errno not in HELD:
                raise
            raise SoliError(
                f"Another process trains in {self._path.parent}{f' (process {holder})' if holder else ''}: "
                "wait until it ends, stop it (kill and its number), or give another run_dir."
            ) from None
        return file

    def __enter__(self) -> RunLock:
        return self

    def __exit__(self, *_: object) -> None:
        """Removes the file while it is still locked: who opens it in between sees that it is gone, and tries again."""
        if self._file is None:
            return
        with contextlib.suppress(OSError):
            if _is_at(self._file, self._path):
                self._path.unlink()
        os.close(self._file)
        self._file = None


def _is_at(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except FileNotFoundError:
        return False
