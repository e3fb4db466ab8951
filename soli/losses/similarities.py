"""Cosines of queries with the candidates of a step and with negatives from outside it, and how much each counts as a negative."""

from __future__ import annotations

import torch
from torch import Tensor

from soli.interfaces import Chosen


def with_outside(queries: Tensor, candidates: Tensor, chosen: Chosen) -> tuple[Tensor, Tensor]:
    """Of queries (Q, E) and candidates (M, E), all of length 1: products and weights (Q, M + R), those from outside the step last."""
    similarity, weights = queries @ candidates.T, chosen.weights
    if chosen.outside is None:
        return similarity, weights
    beyond = torch.einsum("qe,qre->qr", queries, chosen.outside.to(queries.dtype))
    return torch.cat([similarity, beyond], dim=1), torch.cat([weights, chosen.outside_weights], dim=1)
