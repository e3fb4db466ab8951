"""Matching as a term of the step: photographs and captions in the joint space, and their negatives in both directions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from random import Random

import torch
from torch import Tensor

from soli.interfaces import Chosen, MatchingLoss, Negatives, Queries, SoliError
from soli.training.settings import MatchingSettings
from soli.training.siamese import false_negative_loss


@contextmanager
def keys_of_matching() -> Iterator[None]:
    """Within it an error of negatives or of a loss names the keys that they have under `matching`."""
    try:
        yield
    except SoliError as reason:
        text = re.sub(r"(?<![\w.])negatives([.=])", r"matching.negatives\1", str(reason))
        raise SoliError(re.sub(r"(?<![\w.])contrastive\.", "matching.loss.", text)) from reason


@dataclass(frozen=True)
class Entries:
    """Photographs or captions of a step: `keys` (n,), equal for one photograph, their numbers in the training data `places` (n,), and a
    random generator for each."""

    keys: Tensor
    places: Tensor
    generators: Sequence[Random]


@dataclass(frozen=True)
class Matching:
    """The matching term: a loss, its negatives, and which captions are compared."""

    loss: MatchingLoss
    negatives: Negatives
    settings: MatchingSettings = field(default_factory=MatchingSettings)

    def check(self) -> None:
        """Raises SoliError for negatives that are not for matching."""
        if not self.negatives.every_own:
            raise SoliError(f"{type(self.negatives).__name__} is for the views of the contrastive loss: choose matching=vse_plus_plus.")

    def num_candidates(self, views: Sequence[str], num_photographs: int, num_captions: int) -> dict[str, int]:
        """How many candidates the training data has in each direction."""
        images = num_photographs if self.settings.siblings == "masked" else num_captions
        return {direction: count for view in views for direction, count in zip(_directions(view), (num_captions, images), strict=True)}

    def choose(
        self, view: str, images: Tensor, captions: Tensor, owner: Tensor, of_images: Entries, of_captions: Entries
    ) -> tuple[Chosen, Chosen]:
        """The negatives of photographs (B, E) seen in `view` among captions (M, E), and of captions among photographs.

        `owner` (M,) is the photograph of each caption. Raises SoliError for a step whose photographs are all the same.
        """
        images, owner = self._entries(images.detach().float(), owner)
        if self.settings.siblings == "negatives":
            of_images = of_captions = replace(of_captions, keys=of_captions.places)
        if bool((of_images.keys == of_images.keys[0]).all()):
            raise SoliError(
                f"All {len(images)} photographs of a step are the same: matching has no negatives. Raise loader.batch_size, or drop copies."
            )
        captions = captions.detach().float()
        similarity = images @ captions.T  # (B, M)
        own = similarity[owner, torch.arange(len(owner), device=owner.device)]  # (M,)
        mean_own = torch.zeros_like(similarity[:, 0]).scatter_reduce(0, owner, own, "mean", include_self=False)
        to_captions, to_images = _directions(view)
        return (
            self._ask(to_captions, (images, captions), similarity, mean_own, of_images, of_captions),
            self._ask(to_images, (captions, images), similarity.T, own, of_captions, of_images),
        )

    def __call__(self, images: Tensor, captions: Tensor, owner: Tensor, chosen: tuple[Chosen, Chosen]) -> Tensor:
        """The loss of photographs (B, E) and captions (M, E) with their negatives -> scalar."""
        images, owner = self._entries(images, owner)
        by_image, by_caption = chosen
        counterparts = images[owner]
        each = by_image if by_image.clusters is None else replace(by_image, clusters=tuple(part[owner] for part in by_image.clusters))
        ways = [(counterparts, captions), (captions, counterparts)]
        return self.loss.of_matches(images, captions, owner, *chosen) + false_negative_loss(self.negatives, ways, [each, by_caption])

    def _entries(self, images: Tensor, owner: Tensor) -> tuple[Tensor, Tensor]:
        """The photographs, once for each caption where siblings are negatives, and whose each caption is."""
        if self.settings.siblings == "masked":
            return images, owner
        return images[owner], torch.arange(len(owner), device=owner.device)

    def _ask(
        self, direction: str, sides: tuple[Tensor, Tensor], similarity: Tensor, own: Tensor, of_queries: Entries, of_candidates: Entries
    ) -> Chosen:
        harm = partial(self._harm, sides[0], own)
        keys = of_queries.keys, of_candidates.keys
        with keys_of_matching():
            return self.negatives.choose(Queries(direction, *keys, of_queries.generators, *sides, similarity, harm, of_candidates.places))

    def _harm(self, queries: Tensor, own: Tensor, candidates: Tensor) -> Tensor:
        """The loss (Q, R) of candidates (Q, R, E) as negatives of queries (Q, E) whose counterparts are as similar as `own` (Q,)."""
        return self.loss.similarity_harm(own, torch.einsum("qe,qre->qr", queries, candidates))


def _directions(view: str) -> tuple[str, str]:
    """Photographs look for captions, captions for photographs; of each view for itself."""
    return f"captions for {view}", f"photographs, {view}"
