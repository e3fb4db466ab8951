"""The hardest others of a step; the single hardest one makes a sum of hinges VSE++ (arXiv 1707.05612, Eq. 8 of the report)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import torch
from torch import Tensor

from soli.interfaces import Chosen, Queries, check_value
from soli.negatives.in_batch import InBatch


class Hardest:
    """Each query with its own counterpart, and with the `number` most similar candidates of other photographs.

    In the first `warmup_steps` steps all of them count: from random weights the hardest alone may pull everything into one point, from
    which a training with maxima takes long to come back.
    """

    least, every_own, symmetric = 2, True, False

    def __init__(self, number: int = 1, warmup_steps: int = 0):
        """Raises SoliError for a number below 1, and for a negative number of steps."""
        check_value("negatives.number", number, number >= 1, "at least 1: how many of the most similar candidates are negatives")
        check_value("negatives.warmup_steps", warmup_steps, warmup_steps >= 0, "0 or more")
        self.number, self.warmup_steps = number, warmup_steps
        self._steps: Counter[str] = Counter()

    def choose(self, queries: Queries) -> Chosen:
        """Of equally similar candidates the first; fewer where a step does not have so many."""
        self._steps[queries.direction] += 1
        if self._steps[queries.direction] <= self.warmup_steps:
            return InBatch().choose(queries)
        allowed = queries.is_negative
        similarity = queries.similarity.masked_fill(~allowed, -torch.inf)
        ranked = similarity.sort(dim=1, descending=True, stable=True).indices[:, : self.number]
        weights = torch.zeros_like(similarity).scatter(1, ranked, 1.0) * allowed
        return Chosen(torch.ones_like(weights[:, 0]), weights)

    def state_dict(self) -> dict[str, Tensor]:
        """How many steps each direction has had."""
        return {direction: torch.tensor(steps) for direction, steps in self._steps.items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self._steps = Counter({direction: int(steps) for direction, steps in state.items()})
