"""BLEU's and CIDEr-D's n-gram statistics of captions against the references of their photographs, which are counted once."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

ORDERS = 4
SIGMA = 6.0  # of CIDEr-D's length penalty
Gram = Sequence[str]  # a tuple of words, a string of characters


class ReferenceNgrams:
    """The n-grams of all photographs' references: how often at most in one of them (BLEU), and with which weight in each (CIDEr-D)."""

    def __init__(self, references: Sequence[Sequence[Sequence[str]]]):
        """`references`: for each photograph its captions, each a sequence of words (or of characters)."""
        counts = [[ngrams(words) for words in captions] for captions in references]
        frequency = Counter(gram for captions in counts for gram in set().union(*captions))
        self._unseen = math.log(len(references))  # weight of an n-gram that no photograph's references have
        self._weights = {gram: self._unseen - math.log(number) for gram, number in frequency.items()}
        self._lengths = [[len(words) for words in captions] for captions in references]
        self._most: list[dict[Gram, int]] = [_most(captions) for captions in counts]
        self._vectors = [self._of_photograph(captions) for captions in counts]
        self._norms = [np.array([self._norm(caption) for caption in captions]) for captions in counts]  # (references, orders)

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
        norms = self._norms[photograph]
        products = [[0.0] * len(norms) for _ in range(ORDERS)]
        squares = [0.0] * ORDERS
        vectors = self._vectors[photograph]
        for gram, count in counts.items():
            order = len(gram) - 1
            weight = count * self._weights.get(gram, self._unseen)
            squares[order] += weight * weight
            for reference, other in vectors.get(gram, ()):
                products[order][reference] += min(weight, other) * other
        scale = norms.T * np.sqrt(squares)[:, None]  # (orders, references)
        cosines = np.divide(products, scale, out=np.zeros_like(scale), where=scale > 0)
        gaps = [max(0, len(words) - 1) - max(0, length - 1) for length in self._lengths[photograph]]
        penalties = [math.exp(-(gap**2) / (2 * SIGMA**2)) for gap in gaps]
        return 10 * float((cosines * penalties).mean())

    def _of_photograph(self, counts: list[Counter[Gram]]) -> dict[Gram, list[tuple[int, float]]]:
        """For each n-gram, the references that have it, with its weight there."""
        vectors = defaultdict(list)
        for reference, caption in enumerate(counts):
            for gram, count in caption.items():
                vectors[gram].append((reference, count * self._weights[gram]))
        return dict(vectors)

    def _norm(self, counts: Counter[Gram]) -> list[float]:
        """Of one caption's vector of each order."""
        squares = [0.0] * ORDERS
        for gram, count in counts.items():
            squares[len(gram) - 1] += (count * self._weights[gram]) ** 2
        return [math.sqrt(square) for square in squares]


def ngrams(words: Sequence[str]) -> Counter[Gram]:
    """How often each n-gram of one to four words occurs."""
    grams = words if isinstance(words, str) else tuple(words)  # parts of it can be counted
    return Counter(grams[first : first + order] for order in range(1, ORDERS + 1) for first in range(len(words) - order + 1))


def _most(counts: list[Counter[Gram]]) -> dict[Gram, int]:
    most: Counter[Gram] = Counter()
    for caption in counts:
        most |= caption
    return dict(most)
