"""One random other of a step: the negatives against which harder ones are measured."""

from __future__ import annotations

import torch

from soli.interfaces import Chosen, Queries


class RandomNegative:
    """Each query with its own counterpart, and with one of another photograph, all equally likely."""

    least, every_own, symmetric = 2, True, False

    def choose(self, queries: Queries) -> Chosen:
        """One candidate of another photograph counts 1; none where the step has no other photograph."""
        draws = [generator.random() for generator in queries.generators]
        return Chosen(torch.ones_like(queries.keys, dtype=torch.float), one_of(queries.is_negative, draws))


def one_of(allowed: torch.Tensor, draws: list[float]) -> torch.Tensor:
    """(Q, M) with a 1 in each row, at the allowed place that a number in [0, 1) for each row falls on; rows without one are 0."""
    counts = allowed.sum(1)
    ranks = (torch.tensor(draws, dtype=torch.float64).to(allowed.device, non_blocking=True) * counts).long()  # from 0
    return (allowed & (allowed.cumsum(1) == ranks[:, None] + 1)).float()
