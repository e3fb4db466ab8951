"""The features of one condition on disk: rows of numbers, and an index that says whose they are. Both only ever grow at their ends."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from soli.feature_cache.disk import reporting

LINE = re.compile(rb"([!-~]+) ([0-9a-f]{8}) (\d{1,9})")  # fingerprint, crc32 of the row, how many rows of its batch come after it


class Rows:
    """Rows of L * D numbers in `<name>.rows`, a line for each in `<name>.index`; of lines with the same fingerprint the last one counts.

    A batch is there when all its rows and lines are; what an interruption left of one is overwritten. It is made again as a whole, since
    the last bits of a photograph's features depend on how many are encoded together.
    """

    def __init__(self, folder: Path, name: str, width: int, dtype: str):
        """`width` is L * D, `dtype` float16 or float32. Raises SoliError for files that cannot be read."""
        self.path, self.index = folder / f"{name}.rows", folder / f"{name}.index"
        self.width, self.dtype = width, np.dtype(dtype).newbyteorder("<")
        self._checked: dict[str, tuple[int, int]] = {}  # of the entries of `places`, those whose row was found right
        self.open()

    def open(self) -> None:
        """Reads the index as it is now, which another process may have written. Raises SoliError."""
        self.places: dict[str, tuple[int, int]] = {}  # fingerprint -> (row, crc32)
        self._map: np.ndarray | None = None
        lines: list[bytes] = []
        with reporting(self.path):
            if self.path.is_file() and self.index.is_file():
                num_whole = self.path.stat().st_size // (self.width * self.dtype.itemsize)
                lines = self.index.read_bytes().split(b"\n")[:-1][:num_whole]
        matches = [LINE.fullmatch(line) for line in lines]
        self.num_rows = max((row + 1 for row, match in enumerate(matches) if match and int(match[3]) == 0), default=0)
        self.index_size = sum(len(line) + 1 for line in lines[: self.num_rows])
        for row, match in enumerate(matches[: self.num_rows]):
            if match:  # a damaged line still stands for its row
                self.places[match[1].decode()] = row, int(match[2], 16)

    def forget_wrong(self, fingerprints: Iterable[str]) -> int:
        """Checks the rows of these photographs, each once, and forgets those that are not what was written. Returns how many."""
        unchecked = {
            name: self.places[name] for name in fingerprints if name in self.places and self.places[name] != self._checked.get(name)
        }
        before = len(self.places)
        for name, (row, code) in sorted(unchecked.items(), key=lambda item: item[1]):  # in the order of the disk
            if zlib.crc32(self._numbers()[row]) == code:
                self._checked[name] = row, code
            else:
                del self.places[name]
        return before - len(self.places)

    def append(self, fingerprints: Sequence[str], numbers: np.ndarray) -> None:
        """Adds a batch: `numbers` (n, L * D), row i of photograph i. Raises SoliError when the disk is full."""
        assert numbers.shape == (len(fingerprints), self.width) and numbers.dtype == self.dtype and numbers.flags.c_contiguous
        codes = [zlib.crc32(row) for row in numbers]
        lines = [f"{name} {code:08x} {len(codes) - 1 - row}\n" for row, (name, code) in enumerate(zip(fingerprints, codes, strict=True))]
        entries = "".join(lines).encode()
        with reporting(self.path):
            _write(self.path, self.num_rows * self.width * self.dtype.itemsize, numbers.data)
            _write(self.index, self.index_size, entries)
        added = {name: (row, code) for row, (name, code) in enumerate(zip(fingerprints, codes, strict=True), start=self.num_rows)}
        self.places.update(added)
        self._checked.update(added)
        self.num_rows, self.index_size, self._map = self.num_rows + len(codes), self.index_size + len(entries), None

    def __getitem__(self, fingerprint: str) -> np.ndarray:
        """A photograph's row (L * D,). Raises KeyError for one that is not there or was not checked."""
        return self._numbers()[self._checked[fingerprint][0]]

    def _numbers(self) -> np.ndarray:
        """All rows (num_rows, L * D), read from the disk where they are looked at."""
        if self._map is None:
            with reporting(self.path):
                self._map = np.asarray(np.memmap(self.path, self.dtype, "r", shape=(self.num_rows, self.width)))  # its own slices are slow
        return self._map


def _write(path: Path, place: int, content: bytes | memoryview) -> None:
    """Writes at `place`, where what is known to be whole ends."""
    with open(path, "r+b" if path.exists() else "wb") as file:
        file.truncate(place)
        file.seek(place)
        file.write(content)
