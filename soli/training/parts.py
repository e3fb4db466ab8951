"""What a phase makes of a batch: the rendered views, the captions, and which rows of the encoder's output belong to what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from soli.datasets import Batch, CaptionedImages
from soli.degradations import Degradation
from soli.feature_cache import FeatureCache
from soli.interfaces import Example
from soli.model import Captioner
from soli.training.schedule import captioned_views, has, matched_views
from soli.training.settings import Phase, Recipe
from soli.training.siamese import Anchor
from soli.training.views import View, draw_captions, draw_frames, draw_views


@dataclass(frozen=True)
class Part:
    """What a process works on at once: b photographs in the views that are encoded, one view after the other."""

    inputs: Tensor  # (N, 3, S, S), what the trained encoder sees, or (N, L, D), what the frozen one made of it before
    anchor_inputs: Tensor | None  # the first view, where an anchor of its own sees that, in the same way
    tokens: Tensor  # (M, C, T), the captions of the M captioned images
    sentences: Tensor | None  # (b, C', T), the captions to be matched
    keys: list[int]

    @property
    def read(self) -> Tensor | None:
        """What the decoder reads of the captions; None where there are none to learn."""
        return self.tokens[..., :-1] if len(self.tokens) else None

    @property
    def targets(self) -> Tensor:
        """What it should answer."""
        return self.tokens[..., 1:]


@dataclass(frozen=True)
class PhaseViews:
    """The views of a phase: which the trained encoder must see, and for what."""

    names: list[str]
    views: list[View]
    encoded: list[int]
    captioned: list[int]
    matched: list[int]
    contrastive: bool
    spectral: bool
    shared: bool  # both views of the contrastive term go through the trained encoder
    cache: FeatureCache | None = None  # of the encoder that the phase began with
    encoder_trains: bool = True

    @classmethod
    def of(
        cls, phase: Phase, recipe: Recipe, reference_side: int | None, cache: FeatureCache | None = None, encoder_trains: bool = True
    ) -> PhaseViews:
        names = list(phase.views)
        views = [View.parse(conditions, recipe.mode, reference_side) for conditions in phase.views.values()]
        captioned, matched = ([names.index(name) for name in chosen] for chosen in (captioned_views(phase), matched_views(phase)))
        contrastive, shared = has(phase, "contrastive"), recipe.siamese.anchor == "shared"
        compared = {0, 1} if shared else {1}
        encoded = sorted({*captioned, *matched, *(compared if contrastive else ())}) or [0]
        return cls(names, views, encoded, captioned, matched, contrastive, has(phase, "spectral"), shared, cache, encoder_trains)

    @property
    def embeds(self) -> bool:
        """Whether embeddings are asked for."""
        return self.contrastive or (self.spectral and not self.matched)

    @property
    def sees_photographs(self) -> bool:
        """Whether any photograph must be decoded."""
        return self.cache is None or self.encoder_trains

    @property
    def cached(self) -> list[Degradation]:
        """The conditions whose features the cache must have."""
        views = {*([] if self.encoder_trains else self.encoded), *([0] if self._has_anchor else [])}
        return list(dict.fromkeys(degradation for view in sorted(views) for degradation in self.views[view].degradations))

    @property
    def _has_anchor(self) -> bool:
        return self.contrastive and not self.shared

    def render(self, model: Captioner, data: CaptionedImages, batch: Batch, recipe: Recipe, epoch: int) -> Part:
        """Every view that is needed, on the model's device, each photograph under its own conditions and in one window."""
        image_ids = [data.examples[index].image_id for index in batch.indices]
        drawn = draw_views(self.views, image_ids, recipe.seed, epoch)
        inputs = self._inputs(model, data, batch, drawn, recipe, epoch)
        tokens = batch.tokens.to(model.device, non_blocking=True)
        sentences = _sentences(tokens, data, batch, recipe, epoch) if self.matched else None
        return Part(*inputs, tokens.repeat(len(self.captioned), 1, 1), sentences, batch.keys)

    def _inputs(
        self, model: Captioner, data: CaptionedImages, batch: Batch, drawn: Sequence[list[Degradation]], recipe: Recipe, epoch: int
    ) -> tuple[Tensor, Tensor | None]:
        """What the encoder sees of all encoded views, and what an anchor sees of the first."""
        examples = [data.examples[index] for index in batch.indices]

        def features(views: Sequence[int]) -> Tensor:
            degradations = [degradation for view in views for degradation in drawn[view]]
            return self.cache.features(examples * len(views), degradations).to(model.device)

        if not self.sees_photographs:
            return features(self.encoded), features([0]) if self._has_anchor else None
        if self.cache is None:
            image_ids = [example.image_id for example in examples]
            frames = draw_frames(batch.images, image_ids, model.framing, recipe.seed, epoch, recipe.loader.flip)
        else:
            frames = [model.framing.frame(*image.shape[1:]) for image in batch.images]  # those of the cached features
        degradations = [degradation for view in self.encoded for degradation in drawn[view]]
        images = model.render(batch.images * len(self.encoded), degradations, frames * len(self.encoded))
        if not self._has_anchor:
            return images, None
        if self.cache is not None:
            return images, features([0])
        seen = 0 in self.encoded  # its rows are the first then
        return images, images[: len(batch.images)] if seen else model.render(batch.images, drawn[0], frames)

    def features(self, examples: Sequence[Example], view: int, recipe: Recipe, epoch: int) -> Tensor:
        """The kept features (n, L, D) of photographs as an epoch sees them in a view."""
        drawn = draw_views(self.views, [example.image_id for example in examples], recipe.seed, epoch)[view]
        return self.cache.features(examples, drawn)

    def rows(self, view: int, part: Part) -> slice:
        """The rows of the encoder's output that are of a view."""
        size, place = len(part.keys), self.encoded.index(view)
        return slice(place * size, (place + 1) * size)

    def span(self, views: Sequence[int], part: Part) -> slice:
        """The rows of the encoder's output that are of views next to each other; none for no view."""
        return slice(self.rows(views[0], part).start, self.rows(views[-1], part).stop) if views else slice(0)

    def pair(self, embeddings: Tensor, part: Part, anchor: Anchor | None) -> tuple[Tensor, Tensor]:
        """The embeddings of the first and of the second view, (b, [L,] E) each, from those of all encoded images."""
        first = embeddings[self.rows(0, part)] if anchor is None else anchor(part.anchor_inputs)
        return first, embeddings[self.rows(1, part)]


def _sentences(tokens: Tensor, data: CaptionedImages, batch: Batch, recipe: Recipe, epoch: int) -> Tensor:
    """The captions (b, C', T) to be matched, of all (b, C, T)."""
    numbers = caption_numbers(data, batch.indices, recipe, epoch)
    most = max(map(len, numbers))
    rows = [[*chosen, *[len(chosen)] * (most - len(chosen))] for chosen in numbers]  # one that has too few has rows of padding after them
    chosen = torch.tensor(rows).to(tokens.device, non_blocking=True)
    return tokens[torch.arange(len(tokens), device=tokens.device)[:, None], chosen]


def caption_numbers(data: CaptionedImages, indices: Sequence[int], recipe: Recipe, epoch: int) -> list[list[int]]:
    """Which captions of each photograph are matched in an epoch."""
    return [
        draw_captions(len(data.examples[index].captions), recipe.matching.num_captions, recipe.seed, data.examples[index].image_id, epoch)
        for index in indices
    ]
