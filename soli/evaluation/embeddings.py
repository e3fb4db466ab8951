"""How far a degradation moves an embedding, against how far photographs lie apart (the distances that SOLI reports, arXiv 2512.08873)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from soli.losses.contrastive import mean_distance


@dataclass(frozen=True)
class EmbeddingDistances:
    """Mean Euclidean distances: of originals to their copies at each condition, and between originals of different photographs.

    `ratio` is other / (copies at the worst condition); a photograph is found again among others only well above 1. It is None when no copy
    moved, or there is none. `std` is the standard deviation of an embedding's entry over
    photographs, averaged over entries: 0 when all have collapsed into one point.
    """

    copies: dict[str, float]
    other: float
    std: float

    @property
    def ratio(self) -> float | None:
        worst = max(self.copies.values(), default=0.0)
        return self.other / worst if worst > 0 else None


def embedding_distances(original: Tensor, copies: Mapping[str, Tensor]) -> EmbeddingDistances:
    """`original` (M, E), and the embeddings of the same M photographs, in the same order, at each condition."""
    moved = {condition: torch.linalg.vector_norm(copy - original, dim=1).mean().item() for condition, copy in copies.items()}
    std = original.std(0, correction=0).mean().item()
    return EmbeddingDistances(moved, mean_distance(original), std)
