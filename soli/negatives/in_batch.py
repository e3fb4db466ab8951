"""All others of a step: every clean view against every degraded one; with a sum of hinges, VSE (arXiv 1411.2539, Eq. 7 of the report)."""

from __future__ import annotations

import torch

from soli.interfaces import Chosen, Queries


class InBatch:
    """Each query with its own counterpart, and with those of all other photographs of the step."""

    least, every_own, symmetric = 2, True, True

    def choose(self, queries: Queries) -> Chosen:
        """Every candidate of another photograph counts 1."""
        weights = queries.is_negative.float()
        return Chosen(torch.ones_like(weights[:, 0]), weights)
