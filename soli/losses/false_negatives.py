"""The bidirectional margin loss of CMNS (ICPR 2024, Eq. 5): a query may lie near its most similar cluster, but not nearer than its own."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class BidirectionalMarginLoss(nn.Module):
    """Mean of ReLU(D1 + alpha) + ReLU(D2 + beta), D1 = cos(C1, x) - cos(x+, x), D2 = cos(c2, x) - cos(C1, x).

    C1 is the centroid of the most similar cluster, which may hold false negatives, c2 that of the second one.
    """

    def __init__(self, alpha: float = 0.1, beta: float = 0.1):
        super().__init__()
        self.alpha, self.beta = alpha, beta

    def forward(self, queries: Tensor, own: Tensor, nearest: Tensor, second: Tensor) -> Tensor:
        """`queries` x, `own` x+, `nearest` C1, `second` c2, all (Q, E) -> scalar."""
        to_own, to_nearest, to_second = (functional.cosine_similarity(other, queries, dim=1) for other in (own, nearest, second))
        return ((to_nearest - to_own + self.alpha).relu() + (to_second - to_nearest + self.beta).relu()).mean()  # Eq. 5
