"""The doubly stochastic regulariser of Show, Attend and Tell (arXiv 1502.03044, Eq. 14): look at every place about once."""

from __future__ import annotations

from torch import Tensor, nn


class AttentionLoss(nn.Module):
    """Mean over captions and places of (1 - sum over words of the attention) squared.

    The paper sums over places; we take the mean, so that the weight does not depend on the size of the grid.
    """

    def forward(self, attention: Tensor, is_word: Tensor) -> Tensor:
        """`attention` (..., T, L), `is_word` (..., T) bool: false for padding -> scalar. Captions without any word do not count."""
        looked_at = (attention * is_word.unsqueeze(-1)).sum(-2)  # (..., L)
        is_caption = is_word.any(-1)
        return ((1 - looked_at).square().mean(-1) * is_caption).sum() / is_caption.sum()
