"""The contrastive loss of SOLI (arXiv 2512.08873), Eq. 7: copies of a photograph come together, different ones stay apart."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from soli.interfaces import Pairs, SoliError


class ContrastiveLoss(nn.Module):
    """mean[(1 - y) d^2 + y max(m - d, 0)^2], Eq. 7: d the Euclidean distance, y = 1 for different photographs, m the margin; no factor 1/2.

    Embeddings are (N, E), or (N, L, E): then d is the mean of the L distances between tokens of the same place.
    """

    every_own = False

    def __init__(self, margin: float | Literal["auto"] = 1.0, relative: bool = False):
        """`margin="auto"` is the mean distance between different photographs when training starts, told to `measure`.

        `relative` divides the loss by the squared margin, so that its weight means the same for encoders of any scale.
        Raises SoliError for a margin that is not positive.
        """
        super().__init__()
        if margin != "auto" and not (isinstance(margin, (int, float)) and 0 < margin < math.inf):
            raise SoliError(f"contrastive.margin={margin} must be a number above 0, or auto: the mean distance between photographs.")
        self.margin, self.relative = margin, relative
        self._measured: float | None = None

    def measure(self, distance: float) -> None:
        """Sets a margin of "auto". Raises SoliError when all photographs lie in one point."""
        if self.margin != "auto":
            return
        if not 0 < distance < math.inf:
            raise SoliError(
                f"contrastive.margin=auto: different photographs lie {distance} apart at the start. Give the margin as a number."
            )
        self._measured = distance

    @property
    def unit(self) -> float | None:
        """The margin as a number; None for "auto" before it was measured."""
        return self._measured if self.margin == "auto" else float(self.margin)

    def forward(self, anchor: Tensor, other: Tensor, different: Tensor) -> Tensor:
        """Pairs `anchor` and `other`, (N, E) or (N, L, E), and `different` (N,) or (N, 1), 0 or 1 -> scalar.

        Raises SoliError for other shapes: labels (N, 1) against distances (N,) would otherwise compare every pair with every label.
        """
        check_embeddings(anchor, other)
        different = torch.as_tensor(different, device=anchor.device)
        labels = different.squeeze(-1) if different.dim() == 2 and different.shape[-1] == 1 else different
        if labels.shape != anchor.shape[:1]:
            raise SoliError(
                f"the labels of {anchor.shape[0]} pairs have the shape {tuple(different.shape)}; give one 0 or 1 for each pair."
            )
        if not ((labels == 0) | (labels == 1)).all():
            raise SoliError("a label is 0 (the same photograph) or 1 (different ones).")
        distance = torch.linalg.vector_norm(anchor - other, dim=-1)  # (N,) or (N, L)
        distance = distance.mean(-1) if distance.dim() == 2 else distance
        labels = labels.to(distance.dtype)
        return ((1 - labels) * self._attraction(distance) + labels * self._repulsion(distance)).mean()  # Eq. 7

    def of_pairs(self, anchor: Tensor, other: Tensor, pairs: Pairs) -> Tensor:
        """The weighted mean over the pairs (i, j) of anchor i and other j: embeddings (B, E) or (B, L, E) -> scalar.

        Raises SoliError for other shapes, and for a margin of "auto" that was not measured.
        """
        check_embeddings(anchor, other)
        if not pairs.same.shape == pairs.different.shape == (len(anchor), len(anchor)):
            raise SoliError(f"the pairs of {len(anchor)} photographs are ({len(anchor)}, {len(anchor)}), not {tuple(pairs.same.shape)}.")
        distance = distances(anchor, other)  # (B, B)
        total = (pairs.same * self._attraction(distance) + pairs.different * self._repulsion(distance)).sum()  # Eq. 7
        for outside in pairs.outside:
            total = total + (outside.weights * self.harm((anchor, other)[outside.view], outside.embeddings)).sum()
        return total

    def similarity(self, anchor: Tensor, other: Tensor) -> Tensor:
        """Minus the distance (B, B) of all pairs of embeddings (B, E) or (B, L, E): the nearest is the hardest."""
        return -distances(anchor, other)

    def harm(self, views: Tensor, candidates: Tensor) -> Tensor:
        """The repulsion (B, R) of embeddings (B, E) from candidates (B, R, E), or (B, L, E) from (B, R, L, E)."""
        distance = torch.linalg.vector_norm(views.unsqueeze(1) - candidates, dim=-1)
        return self._repulsion(distance.mean(-1) if distance.dim() == 3 else distance)

    def _attraction(self, distance: Tensor) -> Tensor:
        return distance.square() / self._scale()

    def _repulsion(self, distance: Tensor) -> Tensor:
        return (self._margin() - distance).clamp(min=0).square() / self._scale()

    def _margin(self) -> float:
        if self.unit is None:
            raise SoliError("the margin is auto and was not measured yet: call measure(distance between different photographs) first.")
        return self.unit

    def _scale(self) -> float:
        return self._margin() ** 2 if self.relative else 1.0


def distances(anchor: Tensor, other: Tensor) -> Tensor:
    """Euclidean distances (B, B') of all pairs: embeddings (B, E) and (B', E), or (B, L, E) and (B', L, E), averaged over the L places."""
    if anchor.dim() == 2:
        return torch.cdist(anchor, other, compute_mode="donot_use_mm_for_euclid_dist")
    places = torch.cdist(anchor.transpose(0, 1), other.transpose(0, 1), compute_mode="donot_use_mm_for_euclid_dist")  # (L, B, B')
    return places.mean(0)


def mean_distance(embeddings: Tensor) -> float:
    """The mean distance of different photographs, (M, E) or (M, L, E); 0 when there is only one."""
    number = len(embeddings)
    return (distances(embeddings, embeddings).sum() / max(number * (number - 1), 1)).item()


def check_embeddings(anchor: Tensor, other: Tensor) -> None:
    """Raises SoliError unless both views have one shape, (N, E) or (N, L, E)."""
    if anchor.shape != other.shape or anchor.dim() not in (2, 3) or 0 in anchor.shape:
        raise SoliError(
            f"embeddings of two views have one shape, (N, E) or (N, L, E), and at least one pair, not {tuple(anchor.shape)} and "
            f"{tuple(other.shape)}."
        )
