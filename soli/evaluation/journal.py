"""What an interrupted evaluation had done: a line per batch, so that the next one goes on from there."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from soli.json_text import parse_json

Entry = dict[str, tuple[list[str], list[tuple[int, int]], Tensor]]  # of a batch, by condition: captions, sizes, embeddings


class Journal:
    """Batches of an evaluation that is `origin`, in the file `path`; a journal of another evaluation is begun anew.

    An entry has, by condition, the captions of a batch, their photographs' sizes (height, width) and embeddings (n, E). A line says how
    many photographs came before its batch: two evaluations that wrote at the same time leave no photograph twice.
    """

    def __init__(self, path: Path, origin: Mapping[str, Any]):
        self.path, self.origin = path, json.loads(json.dumps(origin))
        self._lines = [json.dumps(self.origin)]  # to begin the file with, at the first batch
        self._done = 0  # photographs

    def entries(self) -> list[Entry]:
        """What was added, in order. A line that was being written is left out, and so is everything of another evaluation."""
        entries: list[Entry] = []
        try:
            lines = self.path.read_text(encoding="utf-8").split("\n")[:-1]
            for line in lines[1:] if parse_json(lines[0]) == self.origin else []:
                content = parse_json(line)
                if content["before"] == self._done:
                    entries.append(_entry(content["batch"]))
                    self._lines.append(line)
                    self._done += _num_photographs(entries[-1])
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            pass  # from here on the work is done again
        return entries

    def add(self, entry: Mapping[str, tuple[list[str], list[tuple[int, int]], Tensor]]) -> None:
        """Appends a batch. Raises OSError, with the path, when the file cannot be written."""
        batch = {
            name: {"captions": captions, "sizes": sizes, "embeddings": _text(vectors)} for name, (captions, sizes, vectors) in entry.items()
        }
        lines, self._lines = [*self._lines, json.dumps({"before": self._done, "batch": batch})], []
        self._done += _num_photographs(entry)
        try:
            with open(self.path, "w" if len(lines) > 1 else "a", encoding="utf-8") as file:
                file.write("\n".join(lines) + "\n")
        except OSError as reason:
            raise OSError(reason.errno, reason.strerror, str(self.path)) from reason  # a full disk does not say where

    def end(self) -> None:
        """Removes the file: everything is done."""
        self.path.unlink(missing_ok=True)


def _num_photographs(entry: Mapping[str, tuple[list[str], list[tuple[int, int]], Tensor]]) -> int:
    return len(next(iter(entry.values()))[1])


def _entry(line: Mapping[str, Any]) -> Entry:
    return {name: (part["captions"], list(map(tuple, part["sizes"])), _tensor(part["embeddings"])) for name, part in line.items()}


def _text(embeddings: Tensor) -> dict[str, Any]:
    numbers = embeddings.float().cpu().contiguous().numpy().astype("<f4")
    return {"shape": list(numbers.shape), "base64": base64.b64encode(numbers.tobytes()).decode("ascii")}


def _tensor(text: Mapping[str, Any]) -> Tensor:
    numbers = np.frombuffer(base64.b64decode(text["base64"]), dtype="<f4").reshape(text["shape"])
    return torch.from_numpy(numbers.astype(np.float32))
