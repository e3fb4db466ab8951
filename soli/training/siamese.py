"""The two branches of SOLI (arXiv 2512.08873): what compares them, and which encoder sees the first one."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from random import Random

import torch
from torch import Tensor, nn

from soli.interfaces import Chosen, Negatives, PairLoss, Pairs, Queries, SoliError
from soli.losses import BidirectionalMarginLoss
from soli.model import Captioner
from soli.negatives import weighted
from soli.training.sharding import whole


@dataclass(frozen=True)
class Siamese:
    """The contrastive term: a loss over two views, and the negatives that it takes."""

    loss: PairLoss
    negatives: Negatives

    def check(self) -> None:
        """Raises SoliError when the loss cannot use such negatives."""
        if self.loss.every_own and not self.negatives.every_own:
            loss, negatives = type(self.loss).__name__, type(self.negatives).__name__
            raise SoliError(
                f"{loss} compares each photograph with its own copy and with others, {negatives} does not: choose negatives=in_batch."
            )

    def pairs(
        self, anchor: Tensor, other: Tensor, keys: Tensor, generators: Sequence[Random], places: Tensor
    ) -> tuple[Pairs, list[Chosen]]:
        """The pairs of a step's photographs, seen as `anchor` and `other` (B, [L,] E), and what the negatives chose in each direction.

        `keys`, `generators` and `places` (B,): as in Queries (soli/interfaces.py).
        """
        views = [view.detach().float() for view in (anchor, other)]
        similarity = self.loss.similarity(*views)
        ways = [("other", views[0], views[1], similarity)]
        if not self.negatives.symmetric:
            ways.append(("anchor", views[1], views[0], similarity.T))
        chosen = []
        for direction, queries, candidates, likeness in ways:
            harm = partial(self._harm, queries)
            flat = queries.flatten(1), candidates.flatten(1)
            chosen.append(self.negatives.choose(Queries(direction, keys, keys, generators, *flat, likeness, harm, places)))
        shaped = [_shaped(one, anchor) for one in chosen]
        return weighted(*shaped), chosen

    def __call__(self, anchor: Tensor, other: Tensor, pairs: Pairs, chosen: Sequence[Chosen]) -> Tensor:
        """The contrastive loss of both views (B, [L,] E), and what the negatives say of false ones."""
        return self.loss.of_pairs(anchor, other, pairs) + false_negative_loss(
            self.negatives, [(anchor.flatten(1), other.flatten(1)), (other.flatten(1), anchor.flatten(1))], chosen
        )

    def _harm(self, queries: Tensor, candidates: Tensor) -> Tensor:
        return self.loss.harm(queries, candidates.unflatten(-1, queries.shape[1:]))


def false_negative_loss(negatives: Negatives, ways: Sequence[tuple[Tensor, Tensor]], chosen: Sequence[Chosen]) -> Tensor | float:
    """The weighted loss on clusters, of the queries and their counterparts (Q, E) in each direction; 0 where there are none."""
    weight, *margins = getattr(negatives, "false_negatives", (0.0,))
    terms = [
        BidirectionalMarginLoss(*margins)(queries, own, *one.clusters)
        for (queries, own), one in zip(ways, chosen, strict=False)
        if weight > 0 and one.clusters is not None
    ]
    return weight * sum(terms) / len(terms) if terms else 0.0


def _shaped(chosen: Chosen, like: Tensor) -> Chosen:
    """With what is outside in the shape of embeddings, (B, R, [L,] E)."""
    return chosen if chosen.outside is None else replace(chosen, outside=chosen.outside.unflatten(-1, like.shape[1:]))


class Anchor(nn.Module):
    """A copy of the encoder and its projector that no loss trains: frozen, or a moving average (as in MoCo, arXiv 1911.05722)."""

    def __init__(self, model: Captioner):
        super().__init__()
        self.encoder, self.projector = copy.deepcopy(model.encoder), copy.deepcopy(model.projector)
        self.eval().requires_grad_(False)

    @torch.no_grad()
    def forward(self, inputs: Tensor) -> Tensor:
        """Images (N, 3, S, S), or features (N, L, D) that the encoder made before -> embeddings (N, E) or (N, L, E), without gradients."""
        return self.projector(inputs if inputs.dim() == 3 else self.encoder(inputs))

    @torch.no_grad()
    def follow(self, model: Captioner, decay: float) -> None:
        """One step of the moving average: `decay` of it stays. Buffers are copied."""
        for mine, theirs in zip(self.parameters(), [*model.encoder.parameters(), *model.projector.parameters()], strict=True):
            mine.lerp_(whole(theirs).to(mine.dtype), 1 - decay)
        for mine, theirs in zip(self.buffers(), [*model.encoder.buffers(), *model.projector.buffers()], strict=True):
            mine.copy_(theirs)
