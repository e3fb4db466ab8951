"""Captions of a split, or its photographs' places in the joint space, at every condition of a resolution ladder.

Each photograph is decoded once for all conditions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from soli.datasets import CaptionedImages, batches
from soli.degradations import Degradation
from soli.evaluation.journal import Entry, Journal
from soli.model import Captioner


@dataclass
class Rung:
    """What came out at one condition: a caption and an embedding (M, E) per photograph, and the sizes (height, width) of the degraded
    photographs in pixels."""

    condition: str
    captions: list[str] = field(default_factory=list)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    embeddings: Tensor = field(default_factory=lambda: torch.empty(0))

    @property
    def pixels(self) -> tuple[int, int]:
        return round(median(height for height, _ in self.sizes)), round(median(width for _, width in self.sizes))


def climb(
    model: Captioner,
    data: CaptionedImages,
    degradations: Sequence[Degradation],
    batch_size: int = 32,
    workers: int = 0,
    precision: str = "fp32",
    progress: bool = True,
    journal: Journal | None = None,
    embed: Callable[[Tensor], Tensor] | None = None,
    **options: Any,
) -> list[Rung]:
    """Captions of all photographs of `data`, in its order, at each of `degradations`. Puts `model` into eval mode.

    `options` are those of GenerationOptions (soli/generation_options.py), the others as in `visit`, `embed` None: the model's
    embeddings.
    """

    def describe(features: Tensor, first: int) -> list[str]:
        return model.describe(features, first=first, **options)

    return visit(model, data, degradations, describe, embed or model.embeddings, batch_size, workers, precision, progress, journal)


def match_ladder(model: Captioner, data: CaptionedImages, degradations: Sequence[Degradation], **options: Any) -> list[Rung]:
    """All photographs of `data`, in its order, at each of `degradations`: rungs without captions, whose embeddings (N, E) are the
    photographs' places in the joint space. `options` are the others of `visit`.

    Raises SoliError for a captioner that was not trained to match.
    """
    model.check_matches()
    return visit(model, data, degradations, lambda *_: [], lambda features: model.matcher.images(features.float()), **options)


@torch.inference_mode()
def visit(
    model: Captioner,
    data: CaptionedImages,
    degradations: Sequence[Degradation],
    describe: Callable[[Tensor, int], list[str]],
    embed: Callable[[Tensor], Tensor],
    batch_size: int = 32,
    workers: int = 0,
    precision: str = "fp32",
    progress: bool = True,
    journal: Journal | None = None,
) -> list[Rung]:
    """What `describe` and `embed` make of the features (n, L, D) of all photographs at each of `degradations`. Puts `model` into eval mode.

    With a `journal` every batch is kept, and what it already has is not done again. `describe` is told how many photographs came before,
    and answers with captions, or with none; `embed` with embeddings (n, E).
    """
    model.eval()
    names = [degradation.spec for degradation in degradations]
    entries: list[Entry] = journal.entries() if journal is not None else []
    done = sum(len(entry[names[0]][1]) for entry in entries)
    plan = [list(range(first, min(first + batch_size, len(data)))) for first in range(done, len(data), batch_size)]
    with tqdm(total=len(data), initial=done, desc="photographs", unit="", disable=not progress, dynamic_ncols=True) as bar:
        for indices, batch in zip(plan, batches(data, plan, workers), strict=True):
            entry = {}
            for degradation in degradations:
                sizes = [degradation.size(*photograph.shape[1:]) for photograph in batch.images]
                with torch.autocast(model.device.type, torch.bfloat16, enabled=precision == "bf16"):
                    features = model.encoder(model.render(batch.images, [degradation] * len(batch.images)))
                    captions = describe(features, indices[0])
                entry[degradation.spec] = captions, sizes, embed(features).cpu()
            if journal is not None:
                journal.add(entry)
            entries.append(entry)
            bar.update(len(indices))
    return [_rung(name, [entry[name] for entry in entries]) for name in names]


def _rung(condition: str, parts: Sequence[tuple[list[str], list[tuple[int, int]], Tensor]]) -> Rung:
    captions = [caption for captions, _, _ in parts for caption in captions]
    return Rung(condition, captions, [size for _, sizes, _ in parts for size in sizes], torch.cat([vectors for _, _, vectors in parts]))
