"""InfoNCE (van den Oord et al., arXiv 1807.03748) between the two views, both ways as in CLIP: an alternative to SOLI's Eq. 7."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from soli.interfaces import Pairs, SoliError
from soli.losses.contrastive import check_embeddings


class InfoNCELoss(nn.Module):
    """-log(exp(s_ii / t) / sum_j exp(s_ij / t)), s the cosine, j over the photograph itself and its negatives; mean of rows and columns.

    Embeddings are (B, E), or (B, L, E): then s is the mean of the cosines of tokens of the same place. With negatives of B photographs
    and nothing learnt it is log B.
    """

    all_pairs = True

    def __init__(self, temperature: float = 0.1):
        """Raises SoliError for a temperature that is not positive."""
        super().__init__()
        if not 0 < temperature < math.inf:
            raise SoliError(f"contrastive.temperature={temperature} must be a number above 0, for example 0.1.")
        self.temperature = temperature

    def measure(self, distance: float) -> None:
        """Cosines do not depend on distances."""

    def forward(self, anchor: Tensor, other: Tensor) -> Tensor:
        """Both views of B different photographs, (B, E) or (B, L, E) -> scalar: all others of the batch are negatives."""
        own = torch.eye(len(anchor), device=anchor.device)
        return self.of_pairs(anchor, other, Pairs(own, 1 - own))

    def of_pairs(self, anchor: Tensor, other: Tensor, pairs: Pairs) -> Tensor:
        """Embeddings (B, E) or (B, L, E) of two views -> scalar. Raises SoliError for pairs that do not hold every photograph's own two."""
        check_embeddings(anchor, other)
        own = pairs.same.diagonal()
        if anchor.shape[:1] != own.shape or not bool((own > 0).all()):
            raise SoliError("contrastive=infonce compares each photograph with its own copy and with others: choose negatives=in_batch.")
        similarity = cosines(anchor, other) / self.temperature  # (B, B)
        counted = (pairs.different > 0) | (pairs.same > 0).diagonal().diag()
        similarity = similarity.masked_fill(~counted, -math.inf)
        rows, columns = similarity.log_softmax(1).diagonal(), similarity.log_softmax(0).diagonal()
        return -(rows.mean() + columns.mean()) / 2


def cosines(anchor: Tensor, other: Tensor) -> Tensor:
    """Cosines (B, B') of all pairs, averaged over places where the embeddings have any."""
    anchor, other = functional.normalize(anchor, dim=-1), functional.normalize(other, dim=-1)
    if anchor.dim() == 2:
        return anchor @ other.T
    return anchor.flatten(1) @ other.flatten(1).T / anchor.shape[1]
