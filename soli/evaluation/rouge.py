"""ROUGE-L of a caption, as pycocoevalcap has it: the best precision and the best recall over all references, F with beta 1.2."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

BETA = 1.2


class ReferenceWords:
    """The references of one photograph: for each, in which of its places a word stands, as the bits of a number."""

    def __init__(self, references: Sequence[Sequence[str]]):
        self._references = [(len(words), _places(words)) for words in references]

    def rouge(self, words: Sequence[str]) -> float:
        """Between 0 and 1; 0 for a caption without words. A reference without words is matched by none."""
        if not words:
            return 0.0
        common = [_longest_common(words, places, length) for length, places in self._references]
        precision = max(common) / len(words)
        recall = max((shared / length for shared, (length, _) in zip(common, self._references, strict=True) if length), default=0.0)
        if not precision or not recall:
            return 0.0
        return (1 + BETA**2) * precision * recall / (recall + BETA**2 * precision)


def _places(words: Sequence[str]) -> dict[str, int]:
    places: dict[str, int] = defaultdict(int)
    for index, word in enumerate(words):
        places[word] |= 1 << index
    return dict(places)


def _longest_common(words: Sequence[str], places: dict[str, int], length: int) -> int:
    """Length of the longest common subsequence, a word at a time for all places at once (Hyyro, 2004: a 0 bit where a row increases)."""
    everywhere = (1 << length) - 1
    row = everywhere
    for word in words:
        matched = row & places.get(word, 0)
        row = ((row + matched) | (row - matched)) & everywhere
    return length - row.bit_count()
