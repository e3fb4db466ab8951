"""InfoNCE (van den Oord et al., arXiv 1807.03748) both ways as in CLIP: between two views, or photographs and captions."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from soli.interfaces import Chosen, Outside, Pairs, SoliError
from soli.losses.contrastive import check_embeddings


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
            raise SoliError(
                f"contrastive.temperature={temperature} must be a number above 0, for example 0.1; matching.loss.temperature too."
            )
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
        beyond = [_beyond(anchor, pairs.outside, 0), _beyond(other, pairs.outside, 1)]
        positive = similarity.diagonal()
        by_anchor = self._surprise(positive, similarity, counted, *beyond[0])
        return (by_anchor.mean() + self._surprise(positive, similarity.T, counted.T, *beyond[1]).mean()) / 2

    def of_matches(self, images: Tensor, captions: Tensor, owner: Tensor, by_image: Chosen, by_caption: Chosen) -> Tensor:
        """Photographs (B, E) and captions (M, E) of the photographs `owner` (M,) -> scalar, the mean over captions."""
        similarity = images @ captions.T  # (B, M)
        positive = similarity[owner, torch.arange(len(owner), device=owner.device)]  # (M,)
        outside = [
            (None, None)
            if chosen.outside is None
            else (torch.einsum("qe,qre->qr", queries, chosen.outside.to(queries.dtype)), chosen.outside_weights)
            for queries, chosen in ((images, by_image), (captions, by_caption))
        ]
        rows = [None if part is None else part[owner] for part in outside[0]]
        of_image = self._surprise(positive, similarity[owner], by_image.weights[owner], *rows)
        return (of_image.mean() + self._surprise(positive, similarity.T, by_caption.weights, *outside[1]).mean()) / 2

    def similarity(self, anchor: Tensor, other: Tensor) -> Tensor:
        """Cosines (B, B'): the most similar is the hardest."""
        return cosines(anchor, other)

    def similarity_harm(self, own: Tensor, similarity: Tensor) -> Tensor:
        """log(1 + exp((s - s_own) / t)) (Q, R): what a negative of such a similarity would cost alone."""
        return functional.softplus((similarity - own[:, None]) / self.temperature)

    def harm(self, views: Tensor, candidates: Tensor) -> Tensor:
        """The cosine over the temperature (B, R) of embeddings (B, E) and candidates (B, R, E), or (B, L, E) and (B, R, L, E)."""
        return _cosines_of_each(views, candidates) / self.temperature

    def _surprise(self, positive: Tensor, similarity: Tensor, weights: Tensor, beyond: Tensor | None, shares: Tensor | None) -> Tensor:
        """(Q,): minus the log of the share of each positive (Q,) among it and its weighted negatives, (Q, M) and beyond the step (Q, R)."""
        logits = [positive[:, None] / self.temperature, similarity / self.temperature + weights.log()]
        if beyond is not None:
            logits.append(beyond / self.temperature + shares.log())
        return torch.cat(logits, dim=1).logsumexp(1) - logits[0].squeeze(1)


def _beyond(views: Tensor, outside: tuple[Outside, ...], view: int) -> tuple[Tensor | None, Tensor | None]:
    """The cosines (B, R) of a view's negatives from outside, and how much each counts beside one of the step."""
    parts = [part for part in outside if part.view == view]
    if not parts:
        return None, None
    cosine = torch.cat([_cosines_of_each(views, part.embeddings.to(views.dtype)) for part in parts], dim=1)
    return cosine, torch.cat([part.beside for part in parts], dim=1)


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
