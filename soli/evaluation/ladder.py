"""Captions of a split at every condition of a resolution ladder: each photograph is decoded once for all conditions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from soli.datasets import CaptionedImages, batches
from soli.degradations import Degradation
from soli.evaluation.journal import Journal
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


@torch.inference_mode()
def climb(
    model: Captioner,
    data: CaptionedImages,
    degradations: Sequence[Degradation],
    batch_size: int = 32,
    workers: int = 0,
    precision: str = "fp32",
    progress: bool = True,
    journal: Journal | None = None,
    **options: Any,
) -> list[Rung]:
    """Captions of all photographs of `data`, in its order, at each of `degradations`. Puts `model` into eval mode.

    `options` are those of GenerationOptions (soli/generation.py). With a `journal` every batch is kept, and what it already has is not done
    again.
    """
    model.eval()
    rungs = [Rung(degradation.spec) for degradation in degradations]
    embeddings: list[list[Tensor]] = [[] for _ in rungs]
    for entry in journal.entries() if journal is not None else ():
        for rung, parts in zip(rungs, embeddings, strict=True):
            captions, sizes, vectors = entry[rung.condition]
            _extend(rung, captions, sizes)
            parts.append(vectors)
    done = len(rungs[0].captions)
    plan = [list(range(first, min(first + batch_size, len(data)))) for first in range(done, len(data), batch_size)]
    bar = tqdm(total=len(data), initial=done, desc="captions", unit="photograph", disable=not progress, dynamic_ncols=True)
    for batch in batches(data, plan, workers):
        entry = {}
        for rung, degradation, parts in zip(rungs, degradations, embeddings, strict=True):
            sizes = [degradation.size(*photograph.shape[1:]) for photograph in batch.images]
            with torch.autocast(model.device.type, torch.bfloat16, enabled=precision == "bf16"):
                features = model.encoder(model.render(batch.images, [degradation] * len(batch.images)))
                captions = model.describe(features, first=len(rung.captions), **options)
            _extend(rung, captions, sizes)
            parts.append(model.embeddings(features).cpu())
            entry[rung.condition] = captions, sizes, parts[-1]
        if journal is not None:
            journal.add(entry)
        bar.update(len(batch.images))
    bar.close()
    for rung, parts in zip(rungs, embeddings, strict=True):
        rung.embeddings = torch.cat(parts)
    return rungs


def _extend(rung: Rung, captions: list[str], sizes: list[tuple[int, int]]) -> None:
    rung.captions += captions
    rung.sizes += sizes
