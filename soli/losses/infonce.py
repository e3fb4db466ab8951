"""InfoNCE (van den Oord et al., arXiv 1807.03748) both ways as in CLIP: between two views, or photographs and captions."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from soli.interfaces import Chosen, Outside, Pairs, SoliError
from soli.losses.contrastive import check_embeddings
from soli.losses.similarities import with_outside


class InfoNCELoss(nn.Module):
    """-log(exp(s_ii / t) / (exp(s_ii / t) + sum_j w_ij exp(s_ij / t))), s the cosine, j over the negatives; mean of both directions.

    Embeddings are (B, E), or (B, L, E): then s is the mean of the cosines of tokens of the same place. With negatives of B photographs
    and nothing learnt it is log B. Negatives of a step count 1, those from outside what their weight says (Eq. 4 of CMNS).
    """

    every_own = True

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
        similarity = self.similarity(anchor, other)  # (B, B)
        counted = (pairs.different > 0).to(similarity.dtype)
        by_anchor, by_other = pairs.chosen or (counted, counted.T)
        of_anchor = _with_beyond(similarity, by_anchor, anchor, [part for part in pairs.outside if part.view == 0])
        of_other = _with_beyond(similarity.T, by_other, other, [part for part in pairs.outside if part.view == 1])
        positive = similarity.diagonal()
        return (self._surprise(positive, *of_anchor).mean() + self._surprise(positive, *of_other).mean()) / 2

    def of_matches(self, images: Tensor, captions: Tensor, owner: Tensor, by_image: Chosen, by_caption: Chosen) -> Tensor:
        """Photographs (B, E) and captions (M, E) of the photographs `owner` (M,) -> scalar, the mean over captions."""
        positive = (images[owner] * captions).sum(1)  # (M,)
        of_images, of_captions = with_outside(images, captions, by_image), with_outside(captions, images, by_caption)
        by_photograph = self._surprise(positive, *(part[owner] for part in of_images))
        return (by_photograph.mean() + self._surprise(positive, *of_captions).mean()) / 2

    def similarity(self, anchor: Tensor, other: Tensor) -> Tensor:
        """Cosines (B, B'): the most similar is the hardest."""
        return cosines(anchor, other)

    def similarity_harm(self, own: Tensor, similarity: Tensor) -> Tensor:
        """log(1 + exp((s - s_own) / t)) (Q, R): what a negative of such a similarity would cost alone."""
        return functional.softplus((similarity - own[:, None]) / self.temperature)

    def harm(self, views: Tensor, candidates: Tensor) -> Tensor:
        """The cosine over the temperature (B, R) of embeddings (B, E) and candidates (B, R, E), or (B, L, E) and (B, R, L, E)."""
        return _cosines_of_each(views, candidates) / self.temperature

    def _surprise(self, positive: Tensor, similarity: Tensor, weights: Tensor) -> Tensor:
        """(Q,): minus the log of the share of each positive (Q,) among it and its weighted negatives (Q, M)."""
        logits = torch.cat([positive[:, None] / self.temperature, similarity / self.temperature + weights.log()], dim=1)
        return logits.logsumexp(1) - logits[:, 0]


def _with_beyond(similarity: Tensor, weights: Tensor, views: Tensor, outside: Sequence[Outside]) -> tuple[Tensor, Tensor]:
    """Cosines and weights (B, B), and behind them those of a view's negatives from outside the step."""
    beyond = [_cosines_of_each(views, part.embeddings.to(views.dtype)) for part in outside]
    return torch.cat([similarity, *beyond], dim=1), torch.cat([weights.to(similarity.dtype), *(part.chosen for part in outside)], dim=1)


def _cosines_of_each(views: Tensor, candidates: Tensor) -> Tensor:
    """Cosines (B, R) of (B, E) and (B, R, E), or of (B, L, E) and (B, R, L, E) averaged over places."""
    cosine = functional.cosine_similarity(views.unsqueeze(1), candidates, dim=-1)
    return cosine.mean(-1) if cosine.dim() == 3 else cosine


def cosines(anchor: Tensor, other: Tensor) -> Tensor:
    """Cosines (B, B') of all pairs, averaged over places where the embeddings have any."""
    anchor, other = functional.normalize(anchor, dim=-1), functional.normalize(other, dim=-1)
    if anchor.dim() == 2:
        return anchor @ other.T
    return anchor.flatten(1) @ other.flatten(1).T / anchor.shape[1]
