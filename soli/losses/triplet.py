"""Hinges on triplets of a photograph, its caption and a negative: VSE (arXiv 1411.2539) and VSE++ (arXiv 1707.05612)."""

from __future__ import annotations

import math

from torch import Tensor, nn

from soli.interfaces import Chosen, check_value
from soli.losses.similarities import with_outside

MARGINS = "a number above 0 and at most 2, for example 0.2: cosines lie between -1 and 1"


class TripletLoss(nn.Module):
    """[margin - s(i, c) + s(i, c')]+ and [margin - s(i, c) + s(i', c)]+, s the cosine, summed over the negatives c' and i' of each.

    All others of the step as negatives: VSE (Eq. 7 of the report); the hardest alone: the maximum, VSE++ (Eq. 8); those and drawn ones from
    outside the step: Eq. 14. The mean over captions c, each with its photograph i; the published loss sums over them.
    """

    def __init__(self, margin: float = 0.2):
        """Raises SoliError for a margin outside (0, 2], which is how far two cosines can lie apart."""
        super().__init__()
        check_value("matching.loss.margin", margin, isinstance(margin, (int, float)) and 0 < margin <= 2 and math.isfinite(margin), MARGINS)
        self.margin = margin

    def of_matches(self, images: Tensor, captions: Tensor, owner: Tensor, by_image: Chosen, by_caption: Chosen) -> Tensor:
        """Photographs (B, E) and captions (M, E) of the photographs `owner` (M,), all of length 1 -> scalar."""
        positive = (images[owner] * captions).sum(1)  # (M,)
        of_images, of_captions = with_outside(images, captions, by_image), with_outside(captions, images, by_caption)
        return (self._hinges(positive, *(part[owner] for part in of_images)) + self._hinges(positive, *of_captions)).mean()

    def similarity_harm(self, own: Tensor, similarity: Tensor) -> Tensor:
        """The hinges (Q, R) of negatives with `similarity` (Q, R) to queries whose counterparts have `own` (Q,)."""
        return (self.margin - own[:, None] + similarity).clamp(min=0)

    def _hinges(self, positive: Tensor, similarity: Tensor, weights: Tensor) -> Tensor:
        """The weighted sum (M,) over the negatives of each positive."""
        return (weights * self.similarity_harm(positive, similarity)).sum(1)
