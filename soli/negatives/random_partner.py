"""SOLI's pairs (arXiv 2512.08873, Section on training): a photograph and, with probability 1/2, its own copy, else another's."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import torch

from soli.interfaces import Pairs, SoliError


class RandomPartner:
    """One pair for each photograph. The other photograph is any of the step: all of it is encoded already, in both views."""

    least, all_pairs = 2, False

    def __init__(self, same_fraction: float = 0.5):
        """`same_fraction` is the probability of the photograph's own copy. Raises SoliError when it is not a probability."""
        if not 0 <= same_fraction <= 1:
            raise SoliError(f"negatives.same_fraction={same_fraction} must lie between 0 and 1.")
        self.same_fraction = same_fraction

    def __call__(self, keys: Sequence[int], generators: Sequence[Random]) -> Pairs:
        """Photographs of one key are the same; where a step has no other one, the pair is the photograph's own."""
        same, different = torch.zeros(2, len(keys), len(keys))
        for row, (key, generator) in enumerate(zip(keys, generators, strict=True)):
            takes_own, place = generator.random() < self.same_fraction, generator.random()
            others = [column for column, other in enumerate(keys) if other != key]
            if takes_own or not others:
                same[row, row] = 1 / len(keys)
            else:
                different[row, others[int(place * len(others))]] = 1 / len(keys)
        return Pairs(same, different)
