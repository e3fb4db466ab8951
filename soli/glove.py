"""GloVe word vectors (Pennington et al., 2014) for a vocabulary, from the plain text files of its authors."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from soli.interfaces import SoliError

LARGEST = 1e6  # of a vector's numbers, which lie around 1


def load_glove(
    path: str | Path, words: tuple[str, ...], width: int, key: str = "glove", width_key: str = "width", seed: int = 0
) -> tuple[Tensor, float]:
    """Vectors (K, width) for `words`, and the share of them that the file has. `key` and `width_key` are the config's names of `path` and
    `width`, such as decoder.glove and decoder.embedding_dim.

    Words that the file lacks get random vectors with the mean and standard deviation of those found.
    Raises SoliError for a missing file, a line that is broken (by number) or vectors of another width.
    """
    given = f"{key}={path}"
    found = _read(path, {word: index for index, word in enumerate(words)}, width, given, width_key)
    if not found:
        raise SoliError(f"{given} has none of the {len(words)} words of the vocabulary: is it a GloVe text file in the captions' language?")
    indices, vectors = torch.tensor(list(found)), torch.tensor(list(found.values()))
    generator = torch.Generator().manual_seed(seed)
    table = torch.randn(len(words), width, generator=generator) * vectors.std(0, correction=0) + vectors.mean(0)
    table[indices] = vectors
    return table, len(found) / len(words)


def _read(path: str | Path, wanted: dict[str, int], width: int, given: str, width_key: str) -> dict[int, list[float]]:
    """The vectors of the `wanted` words that the file has, by the words' ids."""
    found: dict[int, list[float]] = {}
    try:
        with open(path, encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                fields = line.rstrip().split(" ")
                if len(fields) <= 2:  # a blank line, or word2vec's first one: the number of words and the width
                    continue
                if len(fields) < width + 1 or (number == 1 and len(fields) > width + 1):
                    raise SoliError(_wrong_width(given, number, len(fields) - 1, width, width_key))
                word, numbers = " ".join(fields[:-width]), fields[-width:]  # some words of GloVe 840B contain spaces
                if word in wanted:
                    found[wanted[word]] = _floats(numbers, given, number)
    except OSError as reason:
        raise SoliError(f"{given} cannot be read: {reason.strerror}. Give a GloVe text file, or null for random vectors.") from reason
    except UnicodeDecodeError as reason:
        raise SoliError(f"{given} is not UTF-8 text ({reason.reason} at byte {reason.start}): give a GloVe text file.") from reason
    return found


def _floats(numbers: list[str], given: str, number: int) -> list[float]:
    try:
        vector = [float(text) for text in numbers]
        if not all(abs(value) < LARGEST for value in vector):
            raise ValueError(f"a vector holds {next(value for value in vector if not abs(value) < LARGEST)}")
        return vector
    except ValueError as reason:
        raise SoliError(f"{given} is broken in line {number}: {str(reason)[:100]}. Download or unpack the file again.") from reason


def _wrong_width(given: str, number: int, found: int, width: int, width_key: str) -> str:
    if number == 1:
        return f"{given} has vectors of width {found}, but {width_key}={width}: set {width_key}={found} or give another file."
    return f"{given} is broken in line {number}: {found} numbers instead of {width}. Download or unpack the file again."
