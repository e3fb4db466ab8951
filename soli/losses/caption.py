"""Cross-entropy of the next word, the caption term L_CE of SOLI's Eq. 8."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class CaptionLoss(nn.Module):
    """Mean over all real words of a batch, in nats; padding counts nowhere. A uniform guess scores log K."""

    def __init__(self, pad_id: int = 0):
        super().__init__()
        self.pad_id = pad_id

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """`logits` (..., T, K), `targets` (..., T) -> scalar."""
        return functional.cross_entropy(logits.flatten(0, -2), targets.flatten(), ignore_index=self.pad_id)
