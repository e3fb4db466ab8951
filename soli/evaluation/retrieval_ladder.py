"""Photographs in the joint space with captions, at every condition of a resolution ladder: each is decoded once for all conditions."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from soli.datasets import CaptionedImages
from soli.degradations import Degradation
from soli.evaluation.journal import Journal
from soli.evaluation.ladder import Rung, visit
from soli.model import Captioner


def match_ladder(
    model: Captioner,
    data: CaptionedImages,
    degradations: Sequence[Degradation],
    batch_size: int = 32,
    workers: int = 0,
    precision: str = "fp32",
    progress: bool = True,
    journal: Journal | None = None,
) -> list[Rung]:
    """All photographs of `data`, in its order, at each of `degradations`: rungs without captions, whose embeddings (N, E) are the
    photographs' places in the joint space. Puts `model` into eval mode.

    With a `journal` every batch is kept, and what it already has is not done again.
    Raises SoliError for a captioner that was not trained to match.
    """
    model.check_matches()

    def place(features: Tensor) -> Tensor:
        return model.matcher.images(features.float())

    return visit(model, data, degradations, lambda *_: [], place, batch_size, workers, precision, progress, journal)
