"""Feature spectral regularisation (FSR, ICPR 2024): no direction of the embeddings may take all of their variance."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from soli.interfaces import check_value


class SpectralLoss(nn.Module):
    """w(epoch) * lambda_max of F'F, F the centred embeddings of a batch: the square of its largest singular value; w = min(epoch / T0, 1).

    Its weight in the paper is 0.01. It grows with the batch and with the square of the embeddings' scale, as published.
    """

    def __init__(self, warmup_epochs: int = 10):
        """`warmup_epochs` is T0; epochs count from 1, 0 is no warm-up. Raises SoliError for a negative number."""
        super().__init__()
        check_value("spectral.warmup_epochs", warmup_epochs, warmup_epochs >= 0, "0 or more")
        self.warmup_epochs = warmup_epochs

    def forward(self, embeddings: Tensor, epoch: int) -> Tensor:
        """`embeddings` (N, E), or (N, L, E), which are averaged over places; `epoch` of the phase, from 0 -> scalar."""
        pooled = embeddings.mean(1) if embeddings.dim() == 3 else embeddings
        centred = pooled - pooled.mean(0)
        warmth = min((epoch + 1) / self.warmup_epochs, 1.0) if self.warmup_epochs else 1.0
        return warmth * torch.linalg.matrix_norm(centred, ord=2).square()
