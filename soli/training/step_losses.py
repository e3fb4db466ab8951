"""The losses of a step that is taken in parts, by one process or many, such that parts and processes add up to the whole.

The caption terms are means over words and captions: a part counts by its share of them. The terms on embeddings compare all photographs of
the step: each part computes all of them, with the embeddings of the others as constants, and so gets its own gradient exactly. (Gao et al.,
arXiv 2101.06983, reach the same by caching gradients.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from soli.datasets import CaptionedImages, pad
from soli.interfaces import Chosen
from soli.losses import AttentionLoss, CaptionLoss, SpectralLoss
from soli.model import Captioner, Output
from soli.training.matching import Entries, Matching
from soli.training.parts import Part, PhaseViews, caption_numbers
from soli.training.processes import Share, gather_rows
from soli.training.progress import Progress
from soli.training.settings import Recipe
from soli.training.siamese import Anchor, Siamese
from soli.training.views import randomness

OF_THE_WHOLE_STEP = ("contrastive", "matching", "spectral")  # terms that every part computes completely


@dataclass(frozen=True)
class StepLosses:
    """The loss terms of one step."""

    model: Captioner
    data: CaptionedImages
    recipe: Recipe
    progress: Progress
    accelerator: Accelerator
    siamese: Siamese | None
    matching: Matching | None
    anchor: Anchor | None
    views: PhaseViews
    share: Share
    parts: Sequence[Part]
    _chosen: dict[str, Any] = field(default_factory=dict)  # the negatives of the step, chosen once

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
        if names.keys() & set(OF_THE_WHOLE_STEP):
            whole = {name: self._complete(live, name, number).float() for name, live in self._rows(output, part).items()}
        if "contrastive" in names:
            terms["contrastive"] = self._contrast(whole["anchor"], whole["other"])
        if "matching" in names:
            matched = [self._match(number, view, whole[f"view {view}"], whole["captions"]) for view in self.views.matched]
            terms["matching"] = torch.stack(matched).mean()
        if "spectral" in names:
            regularised = next(rows for name, rows in reversed(whole.items()) if name != "captions")
            terms["spectral"] = SpectralLoss(self.recipe.spectral.warmup_epochs)(regularised, self.progress.epoch)
        return terms

    def reported(self, term: str, value: Tensor) -> Tensor:
        """What a part's term adds to the step's."""
        value = value.detach()
        return value / (len(self.parts) * self.accelerator.num_processes) if term in OF_THE_WHOLE_STEP else value

    def _contrast(self, anchor: Tensor, other: Tensor) -> Tensor:
        """The contrastive term of both views of the whole step, (B, [L,] E) each."""
        if "contrastive" not in self._chosen:
            places = _numbers(self.share.indices, self._keys.device)
            self._chosen["contrastive"] = self.siamese.pairs(anchor, other, self._keys, self._generators("pair"), places)
        return self.siamese(anchor, other, *self._chosen["contrastive"])

    def _match(self, part: int, view: int, images: Tensor, captions: Tensor) -> Tensor:
        """The matching term of a view of the whole step: photographs (B, E) and captions (M, E)."""
        device = images.device
        sizes = _numbers(self._num_matched, device)
        owner = torch.arange(len(sizes), device=device).repeat_interleave(sizes, output_size=sum(self._num_matched))
        if view not in self._chosen:
            firsts, indices = self.data.first_captions, self.share.indices
            numbers = [firsts[index] + number for index, chosen in zip(indices, self._matched_numbers, strict=True) for number in chosen]
            of_images = Entries(self._keys, _numbers(indices, device), self._generators("photograph", view))
            of_captions = [randomness(self.recipe.seed, "caption", view, number, self.progress.epoch) for number in numbers]
            entries = of_images, Entries(self._keys[owner], _numbers(numbers, device), of_captions)
            self._chosen[view] = self.matching.choose(self.views.names[view], images, captions, owner, *entries)
        return self.matching(images, captions, owner, self._with_fresh(self._chosen[view], part, view))

    def _with_fresh(self, chosen: tuple[Chosen, Chosen], part: int, view: int) -> tuple[Chosen, Chosen]:
        """Drawn captions, and photographs whose features are at hand, embedded anew, so that they learn too; once in the whole step."""
        to_captions, to_images = chosen
        learn = part == 0 and self.share.rank == 0
        with torch.set_grad_enabled(learn), self.accelerator.autocast():
            if to_captions.outside_places is not None:
                to_captions = replace(to_captions, outside=self._read(to_captions.outside_places).float())
            if to_images.outside_places is not None and not self.views.sees_photographs:
                to_images = replace(to_images, outside=self._look(to_images.outside_places, view).float())
        return to_captions, to_images

    def _read(self, numbers: Tensor) -> Tensor:
        """The captions of these numbers in the training data, (Q, R), in the joint space (Q, R, E)."""
        found = map(self.data.photograph_of, numbers.flatten().tolist())
        ids = [self.data.token_ids(index)[number] for index, number in found]
        tokens = pad([ids], self.model.tokenizer.pad_id)[0].to(numbers.device)
        return self.model.matcher.captions(tokens, tokens != self.model.tokenizer.pad_id).unflatten(0, numbers.shape)

    def _look(self, numbers: Tensor, view: int) -> Tensor:
        """The photographs of these numbers (Q, R), as this epoch sees them in a view, in the joint space (Q, R, E)."""
        indices = numbers.flatten().tolist()
        if self.recipe.matching.siblings == "negatives":  # the numbers are those of captions
            indices = [self.data.photograph_of(number)[0] for number in indices]
        features = self.views.features([self.data.examples[index] for index in indices], view, self.recipe, self.progress.epoch)
        return self.model.matcher.images(features.to(numbers.device)).unflatten(0, numbers.shape)

    def _rows(self, output: Output, part: Part) -> dict[str, Tensor]:
        """The embeddings of a part that terms of the whole step compare: a row for each photograph, or for each caption."""
        rows = {}
        if self.views.contrastive:
            with self.accelerator.autocast():
                rows["anchor"], rows["other"] = self.views.pair(output.embeddings, part, self.anchor)
        elif self.views.embeds:
            rows["embeddings"] = output.embeddings[self.views.rows(self.views.encoded[-1], part)]
        if self.views.matched:
            blocks = output.joint_images.split(len(part.keys))
            rows |= {f"view {view}": block for view, block in zip(self.views.matched, blocks, strict=True)}
            rows["captions"] = output.joint_captions[(part.sentences != self.model.tokenizer.pad_id).any(-1)]
        return rows

    def _complete(self, live: Tensor, name: str, number: int) -> Tensor:
        """The rows of all photographs of the step, this part's with their gradients."""
        sizes = self._num_matched if name == "captions" else [1] * len(self.share.indices)
        if len(live) == sum(sizes):
            return live
        known = self._embedded_ahead[name] if len(self.parts) > 1 else self._gathered(live, sizes)
        first = sum(sizes[: self.share.first(number)])
        return torch.cat([known[:first].to(live.dtype), live, known[first + len(live) :].to(live.dtype)])

    def _gathered(self, live: Tensor, sizes: Sequence[int]) -> Tensor:
        """The rows of all processes in order, of which each photograph of the step has `sizes`."""
        counts = [sum(sizes[first:last]) for first, last in pairwise([0, *accumulate(self.share.counts)])]
        return gather_rows(self.accelerator, live, counts)

    @cached_property
    def _embedded_ahead(self) -> dict[str, Tensor]:
        """All rows of the whole step, without gradients."""
        pieces: dict[str, list[Tensor]] = {}
        with torch.no_grad(), self.accelerator.autocast():
            for number, part in enumerate(self.parts):
                self.seed(number)
                output = self.model(
                    part.inputs, embed=self.views.embeds, sentences=part.sentences, matched=self.views.span(self.views.matched, part)
                )
                for name, rows in self._rows(output, part).items():
                    pieces.setdefault(name, []).append(rows.float())
        ones = [1] * len(self.share.indices)
        return {name: self._gathered(torch.cat(rows), self._num_matched if name == "captions" else ones) for name, rows in pieces.items()}

    @cached_property
    def _keys(self) -> Tensor:
        """The keys (B,) of all photographs of the step."""
        mine = _numbers([key for part in self.parts for key in part.keys], self.accelerator.device)
        return gather_rows(self.accelerator, mine, self.share.counts)

    def _generators(self, *purpose: object) -> list[Any]:
        """A random generator for each photograph of the step."""
        examples = (self.data.examples[index] for index in self.share.indices)
        return [randomness(self.recipe.seed, *purpose, example.image_id, self.progress.epoch) for example in examples]

    @cached_property
    def _matched_numbers(self) -> list[list[int]]:
        return caption_numbers(self.data, self.share.indices, self.recipe, self.progress.epoch)

    @cached_property
    def _num_matched(self) -> list[int]:
        """How many captions of each photograph of the step are matched."""
        return list(map(len, self._matched_numbers))

    @cached_property
    def _num_words(self) -> int:
        captions = [ids for index in self.share.indices for ids in self.data.token_ids(index)]
        return sum(len(ids) - 1 for ids in captions) * len(self.views.captioned)

    @cached_property
    def _num_captions(self) -> int:
        return sum(len(self.data.token_ids(index)) for index in self.share.indices) * len(self.views.captioned)


def _numbers(values: Sequence[int], device: torch.device) -> Tensor:
    """On the device, without waiting for what it is doing."""
    return torch.tensor(values).to(device, non_blocking=True)
