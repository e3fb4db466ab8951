"""What is in an archive (zip; tar or a single file, by gzip, bzip2 or xz; plain tar), an entry at a time, nothing of it believed."""

from __future__ import annotations

import bz2
import gzip
import lzma
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from soli.datasets.archive_names import split
from soli.disks import told
from soli.interfaces import SoliError

BLOCK = 512  # bytes of a tar file's header
LARGEST_READ = 2**20  # bytes; no header of an honest tar file is longer
SIGNATURES = {b"PK\3\4": "zip", b"PK\5\6": "zip", b"\x1f\x8b": "gz", b"BZh": "bz2", b"\xfd7zXZ\0": "xz"}
FOREIGN = {b"7z\xbc\xaf\x27\x1c": "7z", b"Rar!": "RAR", b"\x28\xb5\x2f\xfd": "Zstandard", b"PK\7\x08": "multi-part zip"}
DECOMPRESSORS = {"gz": gzip.open, "bz2": bz2.open, "xz": lzma.open}
UNFINISHED = (".part", ".crdownload", ".download", ".partial", ".opdownload")  # names that browsers give to what they still fetch


@dataclass(frozen=True)
class Entry:
    """A file or folder of an archive. `complaint`: why it cannot be unpacked, a predicate of its name; else None."""

    name: str
    is_folder: bool
    complaint: str | None
    open: Callable[[], IO[bytes]]


class Archive(Protocol):
    """`size`: what the archive says that the wanted files take, in bytes, by names that are not checked yet; None: it does not say.
    `position`: bytes that were read of it."""

    def entries(self) -> Iterator[Entry]: ...

    def size(self, wanted: Callable[[str], bool]) -> int | None: ...

    def position(self) -> int: ...


def kind_of(path: Path) -> str | None:
    """zip, tar, gz, bz2 or xz, by the first bytes of a file; None: no archive.

    Raises:
        SoliError: the file is empty, a web page, not yet downloaded, an archive of another kind, or cannot be read.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(1024)
    except OSError as error:
        raise SoliError(f"{path} cannot be read: {told(error).lower()}.") from error
    if path.suffix.lower() in UNFINISHED:
        raise SoliError(f"{path} is a download that is not finished, by its name: wait for it, or start it again.")
    if not head:
        raise SoliError(f"{path} is empty: download it again.")
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html", b"<head")):
        raise SoliError(
            f"{path} is a web page, which was saved in place of the file: most often one that asks for a login or a click. "
            "Open it in a browser to see what it wants, and download again."
        )
    for signature, kind in FOREIGN.items():
        if head.startswith(signature):
            raise SoliError(f"{path} is an archive of the kind {kind}, which is not read here: unpack it yourself, and give the folder.")
    known = [kind for signature, kind in SIGNATURES.items() if head.startswith(signature)]
    if known:
        return known[0]
    return "tar" if head[257:262] == b"ustar" or path.suffix.lower() == ".tar" else None


@contextmanager
def open_archive(path: Path, most_bytes: int) -> Iterator[Archive]:
    """The archive in a file, of which at most so many bytes are decompressed. Raises SoliError as kind_of, and where it is damaged."""
    kind = kind_of(path)
    if kind is None:
        raise SoliError(f"{path} is no archive: zip, tar, tar.gz, tar.bz2, tar.xz, gz, bz2 and xz are read.")
    with ExitStack() as stack:
        with reading(path):
            if kind == "zip":
                archive: Archive = _Zip(stack.enter_context(zipfile.ZipFile(path)))
            else:
                raw = stack.enter_context(open(path, "rb"))
                content = raw if kind == "tar" else stack.enter_context(DECOMPRESSORS[kind](raw))
                is_tar = kind == "tar" or content.read(BLOCK)[257:262] == b"ustar"
                content.seek(0)
                archive = _Tar(raw, _Stream(content, path, most_bytes)) if is_tar else _Single(path, raw, content)
        yield archive


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turns whatever a decoder raises into a SoliError."""
    try:
        yield
    except (SoliError, MemoryError):
        raise
    except NotImplementedError as error:
        raise SoliError(
            f"{path} is compressed in a way that is not read here ({error}): unpack it yourself, and give the folder."
        ) from error
    except Exception as error:  # a decoder may raise nearly anything for a damaged file
        raise SoliError(
            f"{path} is cut off or damaged ({str(error).rstrip('.') or type(error).__name__}): most often a download that did not finish. "
            "Download it again, and compare its size with what its page says."
        ) from error


class _Zip:
    def __init__(self, file: zipfile.ZipFile) -> None:
        self.file, self._done = file, 0

    def entries(self) -> Iterator[Entry]:
        for info in self.file.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            complaint = _complaint(kind) or ("is encrypted" if info.flag_bits & 1 else None)
            yield Entry(info.orig_filename, _is_folder(info), complaint, lambda info=info: self.file.open(info))
            self._done += info.compress_size

    def size(self, wanted: Callable[[str], bool]) -> int | None:
        return sum(info.file_size for info, name in self._files() if wanted(name))

    def _files(self) -> Iterator[tuple[zipfile.ZipInfo, str]]:
        """With their names as they are written, though nobody has checked them."""
        for info in self.file.infolist():
            name = "/".join(split(info.orig_filename))
            if name and not _is_folder(info):
                yield info, name

    def position(self) -> int:
        return self._done


def _is_folder(info: zipfile.ZipInfo) -> bool:
    return info.orig_filename.endswith("/")  # is_dir() fails for an empty name in Python 3.11


def _complaint(kind: int) -> str | None:
    """Of a file's kind, 0 where it is not known."""
    if kind in (0, stat.S_IFREG, stat.S_IFDIR):
        return None
    return "is a link" if kind == stat.S_IFLNK else "is a device or another special file"


class _Tar:
    def __init__(self, raw: IO[bytes], stream: _Stream) -> None:
        self.raw, self.stream = raw, stream

    def entries(self) -> Iterator[Entry]:
        with tarfile.TarFile(fileobj=self.stream, mode="r") as file:
            while (member := file.next()) is not None:
                file.members = []  # none is asked for again
                yield Entry(member.name, member.isdir(), self._complaint(member), lambda member=member, file=file: file.extractfile(member))
        if self.stream.last != bytes(BLOCK):
            raise tarfile.ReadError("it does not end as a tar file does")
        while self.stream.read(LARGEST_READ):  # to the checksum of what it is compressed by
            pass

    def size(self, wanted: Callable[[str], bool]) -> int | None:
        return None

    def position(self) -> int:
        return self.raw.tell()

    @staticmethod
    def _complaint(member: tarfile.TarInfo) -> str | None:
        if member.issym() or member.islnk():
            return "is a link"
        if member.isdir() or (member.isreg() and not member.issparse()):
            return None
        return "is a sparse file" if member.issparse() else "is a device or another special file"


class _Single:
    def __init__(self, path: Path, raw: IO[bytes], content: IO[bytes]) -> None:
        self.path, self.raw, self.content = path, raw, content

    def entries(self) -> Iterator[Entry]:
        yield Entry(self.path.stem, False, None, lambda: self.content)

    def size(self, wanted: Callable[[str], bool]) -> int | None:
        return None

    def position(self) -> int:
        return self.raw.tell()


class _Stream:
    """A tar file's bytes, forwards only, each counted, and never many at once: headers say how long they are, and may lie."""

    def __init__(self, content: IO[bytes], path: Path, most_bytes: int) -> None:
        self.content, self.path, self.most_bytes = content, path, most_bytes
        self.last, self._position = b"", 0

    def read(self, size: int) -> bytes:
        if size > LARGEST_READ:
            raise SoliError(f"{self.path} has a header of {size:,} bytes, which no honest tar file has: do not unpack it.")
        self.last = self.content.read(size)
        self._position += len(self.last)
        if self._position > self.most_bytes:
            raise SoliError(f"{self.path} expands to more than {self.most_bytes:,} bytes: it may be made to fill the disk.")
        return self.last

    def seek(self, position: int) -> None:
        assert position >= self._position, "only forwards"
        while self._position < position and self.read(min(LARGEST_READ, position - self._position)):
            pass

    def tell(self) -> int:
        return self._position
