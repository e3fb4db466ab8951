"""From chosen negatives, in one direction or both, to the weighted pairs of two views that a contrastive loss compares."""

from __future__ import annotations

from dataclasses import replace

import torch

from soli.interfaces import Chosen, Outside, Pairs


def weighted(by_anchor: Chosen, by_other: Chosen | None = None) -> Pairs:
    """The pairs that the anchor views ask for, or the mean of those and of the pairs that the other views ask for.

    In each direction the negatives together weigh as much as the number of photographs that have any.
    """
    first = _of_direction(by_anchor, 0)
    if by_other is None:
        return replace(first, chosen=(by_anchor.weights, by_anchor.weights.T))
    second = _of_direction(by_other, 1)
    halves = tuple(replace(part, weights=part.weights / 2) for part in (*first.outside, *second.outside))
    same, different = (first.same + second.same) / 2, (first.different + second.different.T) / 2
    return Pairs(same, different, halves, (by_anchor.weights, by_other.weights))


def _of_direction(chosen: Chosen, view: int) -> Pairs:
    beyond = torch.zeros_like(chosen.weights[:, :0]) if chosen.outside is None else chosen.outside_weights
    weights = torch.cat([chosen.weights, beyond], dim=1)
    with_any = (weights > 0).any(1).sum()
    weights = weights * (with_any / weights.sum().clamp(min=torch.finfo(weights.dtype).tiny))
    total = chosen.own.sum() + weights.sum()
    different, beyond = (weights / total).split([chosen.weights.shape[1], beyond.shape[1]], dim=1)
    outside = () if chosen.outside is None else (Outside(view, chosen.outside, beyond, chosen.outside_weights),)
    return Pairs((chosen.own / total).diag(), different, outside)
