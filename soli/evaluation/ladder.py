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
    **options: Any,
) -> list[Rung]:
    """Captions of all photographs of `data`, in its order, at each of `degradations`. Puts `model` into eval mode.

    `options` are those of GenerationOptions (soli/generation.py).
    """
    model.eval()
    rungs = [Rung(degradation.spec) for degradation in degradations]
    embeddings: list[list[Tensor]] = [[] for _ in rungs]
    plan = [list(range(first, min(first + batch_size, len(data)))) for first in range(0, len(data), batch_size)]
    for batch in tqdm(
        batches(data, plan, workers), total=len(plan), desc="captions", unit="batch", disable=not progress, dynamic_ncols=True
    ):
        for rung, degradation, parts in zip(rungs, degradations, embeddings, strict=True):
            rung.sizes += [degradation.size(*photograph.shape[1:]) for photograph in batch.images]
            with torch.autocast(model.device.type, torch.bfloat16, enabled=precision == "bf16"):
                features = model.encoder(model.render(batch.images, [degradation] * len(batch.images)))
                rung.captions += model.describe(features, first=len(rung.captions), **options)
            parts.append(model.embeddings(features).cpu())
    for rung, parts in zip(rungs, embeddings, strict=True):
        rung.embeddings = torch.cat(parts)
    return rungs
