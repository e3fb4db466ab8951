"""The hardest others of a step; the single hardest one makes a sum of hinges VSE++ (arXiv 1707.05612, Eq. 8 of the report)."""

from __future__ import annotations

import torch

from soli.interfaces import Chosen, Queries, SoliError


class Hardest:
    """Each query with its own counterpart, and with the `number` most similar candidates of other photographs."""

    least, every_own, symmetric = 2, True, False

    def __init__(self, number: int = 1):
        """Raises SoliError for a number below 1."""
        if number < 1:
            raise SoliError(f"negatives.number={number} must be at least 1: how many of the most similar candidates are negatives.")
        self.number = number

    def choose(self, queries: Queries) -> Chosen:
        """Of equally similar candidates the first; fewer where a step does not have so many."""
        allowed = queries.is_negative
        similarity = queries.similarity.masked_fill(~allowed, -torch.inf)
        ranked = similarity.sort(dim=1, descending=True, stable=True).indices[:, : self.number]
        weights = torch.zeros_like(similarity).scatter(1, ranked, 1.0) * allowed
        return Chosen(torch.ones_like(weights[:, 0]), weights)
