"""The two branches of SOLI (arXiv 2512.08873): what compares them, and which encoder sees the first one."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from soli.interfaces import Negatives, PairLoss, SoliError
from soli.model import Captioner


@dataclass(frozen=True)
class Siamese:
    """The contrastive term: a loss over two views, and the pairs that it takes."""

    loss: PairLoss
    negatives: Negatives

    def check(self) -> None:
        """Raises SoliError when the loss cannot use such pairs."""
        if self.loss.all_pairs and not self.negatives.all_pairs:
            loss, negatives = type(self.loss).__name__, type(self.negatives).__name__
            raise SoliError(
                f"{loss} compares each photograph with its own copy and with all others, {negatives} does not: choose negatives=in_batch."
            )


class Anchor(nn.Module):
    """A copy of the encoder and its projector that no loss trains: frozen, or a moving average (as in MoCo, arXiv 1911.05722)."""

    def __init__(self, model: Captioner):
        super().__init__()
        self.encoder, self.projector = copy.deepcopy(model.encoder), copy.deepcopy(model.projector)
        self.eval().requires_grad_(False)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Images (N, 3, S, S) -> embeddings (N, E) or (N, L, E), without gradients."""
        return self.projector(self.encoder(images))

    @torch.no_grad()
    def follow(self, model: Captioner, decay: float) -> None:
        """One step of the moving average: `decay` of it stays. Buffers are copied."""
        for mine, theirs in zip(self.parameters(), [*model.encoder.parameters(), *model.projector.parameters()], strict=True):
            mine.lerp_(theirs.to(mine.dtype), 1 - decay)
        for mine, theirs in zip(self.buffers(), [*model.encoder.buffers(), *model.projector.buffers()], strict=True):
            mine.copy_(theirs)
