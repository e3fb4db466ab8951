"""What a phase makes of a batch: the rendered views, the captions, and which rows of the encoder's output belong to what."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from soli.datasets import Batch, CaptionedImages
from soli.model import Captioner
from soli.training.schedule import captioned_views, has
from soli.training.settings import Phase, Recipe
from soli.training.siamese import Anchor
from soli.training.views import View, draw_frames, draw_views


@dataclass(frozen=True)
class Part:
    """What a process works on at once: b photographs in the views that are encoded, one view after the other."""

    images: Tensor  # (N, 3, S, S), what the trained encoder sees
    anchor_images: Tensor | None  # (b, 3, S, S), the first view, where an anchor of its own sees that
    tokens: Tensor  # (M, C, T), the captions of the M captioned images
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

    views: list[View]
    encoded: list[int]
    captioned: list[int]
    contrastive: bool
    shared: bool  # both views of the contrastive term go through the trained encoder

    @classmethod
    def of(cls, phase: Phase, recipe: Recipe, reference_side: int | None) -> PhaseViews:
        views = [View.parse(conditions, recipe.mode, reference_side) for conditions in phase.views.values()]
        captioned = [list(phase.views).index(name) for name in captioned_views(phase)]
        contrastive, shared = has(phase, "contrastive"), recipe.siamese.anchor == "shared"
        compared = {0, 1} if shared else {1}
        return cls(views, sorted({*captioned, *(compared if contrastive else ())}), captioned, contrastive, shared)

    def render(self, model: Captioner, data: CaptionedImages, batch: Batch, recipe: Recipe, epoch: int) -> Part:
        """Every view that is needed, on the model's device, each photograph under its own conditions and in one window."""
        image_ids = [data.examples[index].image_id for index in batch.indices]
        drawn = draw_views(self.views, image_ids, recipe.seed, epoch)
        frames = draw_frames(batch.images, image_ids, model.framing, recipe.seed, epoch, recipe.loader.flip)
        degradations = [degradation for view in self.encoded for degradation in drawn[view]]
        repeats = len(self.encoded)
        images = model.render(batch.images * repeats, degradations, frames * repeats)
        anchor_images = None
        if self.contrastive and not self.shared:
            seen = 0 in self.encoded  # its rows are the first then
            anchor_images = images[: len(batch.images)] if seen else model.render(batch.images, drawn[0], frames)
        tokens = batch.tokens.to(model.device, non_blocking=True).repeat(len(self.captioned), 1, 1)
        return Part(images, anchor_images, tokens, batch.keys)

    def captioned_rows(self, part: Part) -> slice:
        """The rows of the encoder's output whose captions are learnt."""
        size, first = len(part.keys), self.encoded.index(self.captioned[0]) if self.captioned else 0
        return slice(first * size, (first + len(self.captioned)) * size)

    def pair(self, embeddings: Tensor, part: Part, anchor: Anchor | None) -> tuple[Tensor, Tensor]:
        """The embeddings of the first and of the second view, (b, [L,] E) each, from those of all encoded images."""
        blocks = dict(zip(self.encoded, embeddings.split(len(part.keys)), strict=True))
        return (blocks[0] if anchor is None else anchor(part.anchor_images)), blocks[1]
