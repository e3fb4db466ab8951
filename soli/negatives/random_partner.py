"""SOLI's pairs (arXiv 2512.08873, Section on training): a photograph and, with probability 1/2, its own copy, else another's."""

from __future__ import annotations

import torch

from soli.interfaces import Chosen, Queries, SoliError
from soli.negatives.random import one_of


class RandomPartner:
    """One pair for each photograph. The other photograph is any of the step: all of it is encoded already, in both views."""

    least, every_own, symmetric = 2, False, True

    def __init__(self, same_fraction: float = 0.5):
        """`same_fraction` is the probability of the photograph's own copy. Raises SoliError when it is not a probability."""
        if not 0 <= same_fraction <= 1:
            raise SoliError(f"negatives.same_fraction={same_fraction} must lie between 0 and 1.")
        self.same_fraction = same_fraction

    def choose(self, queries: Queries) -> Chosen:
        """Either its own counts 1 or one candidate of another photograph; where a step has no other one, its own."""
        draws = [(generator.random(), generator.random()) for generator in queries.generators]
        allowed = queries.is_negative
        takes_own = torch.tensor([own < self.same_fraction for own, _ in draws]).to(allowed.device, non_blocking=True) | ~allowed.any(1)
        return Chosen(takes_own.float(), one_of(allowed & ~takes_own[:, None], [place for _, place in draws]))
