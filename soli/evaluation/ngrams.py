"""BLEU's and CIDEr-D's n-gram statistics of captions against the references of their photographs, which are counted once."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain

ORDERS = 4
SIGMA = 6.0  # of CIDEr-D's length penalty
Gram = Sequence[str]  # a tuple of words, a string of characters


class ReferenceNgrams:
    """The n-grams of all photographs' references: how often in each, and at most in one of them, and how rare over photographs."""

    def __init__(self, references: Sequence[Sequence[Sequence[str]]]):
        """`references`: for each photograph its captions, each a sequence of words (or of characters)."""
        self._counts = [[ngrams(words) for words in captions] for captions in references]
        self._most = [_most(captions) for captions in self._counts]
        frequency = Counter(chain.from_iterable(self._most))
        self._unseen = math.log(len(references))  # weight of an n-gram that no photograph's references have
        self._weights = {gram: self._unseen - math.log(number) for gram, number in frequency.items()}
        self._lengths = [[len(words) for words in captions] for captions in references]
        self._norms = [[self._norm(caption) for caption in captions] for captions in self._counts]

    def bleu(self, photograph: int, words: Sequence[str], counts: Counter[Gram]) -> list[int]:
        """Correct n-grams of each order, all n-grams of each order, the caption's length, that of the closest reference.

        What Papineni et al. (2002, section 2) sum over a set; of two references equally close the shorter one counts, as in pycocoevalcap.
        """
        correct = [0] * ORDERS
        most = self._most[photograph]
        for gram, count in counts.items():
            if gram in most:
                correct[len(gram) - 1] += min(count, most[gram])
        length = len(words)
        closest = min((abs(other - length), other) for other in self._lengths[photograph])[1]
        return [*correct, *(max(0, length - order) for order in range(ORDERS)), length, closest]

    def cider(self, photograph: int, words: Sequence[str], counts: Counter[Gram]) -> float:
        """CIDEr-D of one caption, between 0 and 10 (arXiv 1411.5726, section 4 and the clipping and length penalty of its section 5.4).

        As in pycocoevalcap the lengths compared are those in bigrams.
        """
        references, known = self._counts[photograph], self._most[photograph]
        products = [[0.0] * ORDERS for _ in references]
        for gram, count in counts.items():
            if gram in known:
                square, order = self._weights[gram] ** 2, len(gram) - 1
                for other, sums in zip(references, products, strict=True):
                    if gram in other:
                        sums[order] += square * other[gram] * min(count, other[gram])
        own, total = self._norm(counts), 0.0
        for sums, norms, length in zip(products, self._norms[photograph], self._lengths[photograph], strict=True):
            cosines = sum(product / (norm * other) for product, norm, other in zip(sums, own, norms, strict=True) if product)
            gap = max(0, len(words) - 1) - max(0, length - 1)
            total += cosines / ORDERS * math.exp(-(gap**2) / (2 * SIGMA**2))
        return 10 * total / len(references)

    def _norm(self, counts: Mapping[Gram, int]) -> list[float]:
        """Of one caption's vector of each order."""
        squares = [0.0] * ORDERS
        for gram, count in counts.items():
            squares[len(gram) - 1] += (count * self._weights.get(gram, self._unseen)) ** 2
        return [math.sqrt(square) for square in squares]


def ngrams(words: Sequence[str]) -> Counter[Gram]:
    """How often each n-gram of one to four words (or characters of a string) occurs."""
    if isinstance(words, str):
        return Counter(words[first : first + order] for order in range(1, ORDERS + 1) for first in range(len(words) - order + 1))
    return Counter(chain.from_iterable(zip(*(words[first:] for first in range(order)), strict=False) for order in range(1, ORDERS + 1)))


def _most(counts: Sequence[Mapping[Gram, int]]) -> dict[Gram, int]:
    """How often each n-gram occurs in the caption that has it most often."""
    most: dict[Gram, int] = {}
    for caption in counts:
        for gram, count in caption.items():
            if count > most.get(gram, 0):
                most[gram] = count
    return most
