"""GloVe word vectors (Pennington et al., 2014) for a vocabulary, from the plain text files of its authors."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from soli.interfaces import SoliError


def load_glove(path: str | Path, words: tuple[str, ...], width: int, seed: int = 0) -> tuple[Tensor, float]:
    """Vectors (K, width) for `words`, and the share of them that the file has.

    Words that the file lacks get random vectors with the mean and standard deviation of those found.
    Raises SoliError for a missing file, a line that is broken (by number) or vectors of another width.
    """
    wanted = {word: index for index, word in enumerate(words)}
    found: dict[int, list[float]] = {}
    try:
        with open(path, encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                fields = line.rstrip().split(" ")
                if len(fields) <= 2:  # a blank line, or word2vec's first one: the number of words and the width
                    continue
                if len(fields) < width + 1 or (number == 1 and len(fields) > width + 1):
                    raise SoliError(_wrong_width(path, number, len(fields) - 1, width))
                word, numbers = " ".join(fields[:-width]), fields[-width:]  # some words of GloVe 840B contain spaces
                if word in wanted:
                    found[wanted[word]] = _floats(numbers, path, number)
    except OSError as reason:
        raise SoliError(
            f"decoder.glove={path} cannot be read: {reason.strerror}. Give a GloVe text file, or null for random vectors."
        ) from reason
    except UnicodeDecodeError as reason:
        raise SoliError(
            f"decoder.glove={path} is not UTF-8 text ({reason.reason} at byte {reason.start}): give a GloVe text file."
        ) from reason
    if not found:
        raise SoliError(
            f"decoder.glove={path} has none of the {len(words)} words of the vocabulary: is it a GloVe text file in the captions' language?"
        )
    indices, vectors = torch.tensor(list(found)), torch.tensor(list(found.values()))
    generator = torch.Generator().manual_seed(seed)
    table = torch.randn(len(words), width, generator=generator) * vectors.std(0, correction=0) + vectors.mean(0)
    table[indices] = vectors
    return table, len(found) / len(words)


def _floats(numbers: list[str], path: str | Path, number: int) -> list[float]:
    try:
        return [float(text) for text in numbers]
    except ValueError as reason:
        raise SoliError(f"decoder.glove={path} is broken in line {number}: {reason}. Download or unpack the file again.") from reason


def _wrong_width(path: str | Path, number: int, found: int, width: int) -> str:
    if number == 1:
        wanted = f"decoder.embedding_dim={width}: set decoder.embedding_dim={found} or give another file."
        return f"decoder.glove={path} has vectors of width {found}, but {wanted}"
    return f"decoder.glove={path} is broken in line {number}: {found} numbers instead of {width}. Download or unpack the file again."
