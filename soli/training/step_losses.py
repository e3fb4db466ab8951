"""The losses of a step that is taken in parts, by one process or many, such that parts and processes add up to the whole.

The caption terms are means over words and captions: a part counts by its share of them. The contrastive term compares all photographs of
the step: each part computes all of it, with the embeddings of the others as constants, and so gets its own gradient exactly. (Gao et al.,
arXiv 2101.06983, reach the same by caching gradients.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from accelerate import Accelerator
from torch import Tensor

from soli.datasets import CaptionedImages
from soli.interfaces import Pairs
from soli.losses import AttentionLoss, CaptionLoss
from soli.model import Captioner, Output
from soli.training.checkpoint import Progress
from soli.training.parts import Part, PhaseViews
from soli.training.processes import Share, gather_rows
from soli.training.settings import Recipe
from soli.training.siamese import Anchor, Siamese
from soli.training.views import randomness


@dataclass(frozen=True)
class StepLosses:
    """The loss terms of one step."""

    model: Captioner
    data: CaptionedImages
    recipe: Recipe
    progress: Progress
    accelerator: Accelerator
    siamese: Siamese | None
    anchor: Anchor | None
    views: PhaseViews
    share: Share
    parts: Sequence[Part]

    def seed(self, number: int) -> None:
        """Makes the random draws of a part (dropout) a function of the step."""
        torch.manual_seed(randomness(self.recipe.seed, "step", self.progress.step, self.share.rank, number).getrandbits(63))

    def __call__(self, output: Output, number: int, names: Mapping[str, float]) -> dict[str, Tensor]:
        """The terms among `names` of part `number`, from what the model made of it."""
        part, pad_id = self.parts[number], self.model.tokenizer.pad_id
        is_word = part.targets != pad_id  # (M, C, T)
        terms: dict[str, Tensor] = {}
        if "caption" in names:
            terms["caption"] = CaptionLoss(pad_id)(output.logits.float(), part.targets) * (is_word.sum() / self._num_words)
        if "attention" in names:
            terms["attention"] = AttentionLoss()(output.attention.float(), is_word) * (is_word.any(-1).sum() / self._num_captions)
        if "contrastive" in names:
            with self.accelerator.autocast():
                pair = self.views.pair(output.embeddings, part, self.anchor)
            whole = [self._complete(live, number, view) for view, live in enumerate(pair)]
            terms["contrastive"] = self.siamese.loss.of_pairs(*(rows.float() for rows in whole), self._pairs)
        return terms

    def reported(self, term: str, value: Tensor) -> Tensor:
        """What a part's term adds to the step's: each part has computed the whole contrastive term."""
        value = value.detach()
        return value / (len(self.parts) * self.accelerator.num_processes) if term == "contrastive" else value

    def _complete(self, live: Tensor, number: int, view: int) -> Tensor:
        """The embeddings of a view of all photographs of the step, this part's with their gradients."""
        if len(live) == len(self.share.indices):
            return live
        known = self._embedded_ahead[view] if len(self.parts) > 1 else gather_rows(self.accelerator, live, self.share.counts)
        first = self.share.first(number)
        return torch.cat([known[:first], live, known[first + len(live) :]])

    @cached_property
    def _embedded_ahead(self) -> list[Tensor]:
        """The embeddings of both views of the whole step, (B, [L,] E) each, without gradients."""
        pairs = []
        with torch.no_grad(), self.accelerator.autocast():
            for number, part in enumerate(self.parts):
                self.seed(number)
                output = self.model(part.images)
                pairs.append(self.views.pair(output.embeddings.float(), part, self.anchor))
        return [gather_rows(self.accelerator, torch.cat(rows), self.share.counts) for rows in zip(*pairs, strict=True)]

    @cached_property
    def _pairs(self) -> Pairs:
        device = self.accelerator.device
        mine = torch.tensor([key for part in self.parts for key in part.keys], device=device)
        keys = gather_rows(self.accelerator, mine, self.share.counts).tolist()
        examples = (self.data.examples[index] for index in self.share.indices)
        generators = [randomness(self.recipe.seed, "pair", example.image_id, self.progress.epoch) for example in examples]
        pairs = self.siamese.negatives(keys, generators)
        return Pairs(pairs.same.to(device), pairs.different.to(device))

    @cached_property
    def _num_words(self) -> int:
        captions = [ids for index in self.share.indices for ids in self.data.token_ids(index)]
        return sum(len(ids) - 1 for ids in captions) * len(self.views.captioned)

    @cached_property
    def _num_captions(self) -> int:
        return sum(len(self.data.token_ids(index)) for index in self.share.indices) * len(self.views.captioned)
