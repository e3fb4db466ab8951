"""Photographs in the joint space with captions, at every condition of a resolution ladder: each is decoded once for all conditions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from tqdm import tqdm

from soli.datasets import CaptionedImages, batches
from soli.degradations import Degradation
from soli.evaluation.journal import Journal
from soli.evaluation.ladder import Rung
from soli.model import Captioner

Entry = dict[str, tuple[list[str], list[tuple[int, int]], Tensor]]  # as the journal has it, without captions


@torch.inference_mode()
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
    model.eval()
    entries: list[Entry] = list(journal.entries()) if journal is not None else []
    done = sum(len(sizes) for entry in entries for _, sizes, _ in [entry[degradations[0].spec]])
    plan = [list(range(first, min(first + batch_size, len(data)))) for first in range(done, len(data), batch_size)]
    with tqdm(total=len(data), initial=done, desc="photographs", unit="photograph", disable=not progress, dynamic_ncols=True) as bar:
        for batch in batches(data, plan, workers):
            entries.append({degradation.spec: _places(model, batch.images, degradation, precision) for degradation in degradations})
            if journal is not None:
                journal.add(entries[-1])
            bar.update(len(batch.images))
    return [_rung(degradation.spec, [entry[degradation.spec] for entry in entries]) for degradation in degradations]


def _places(
    model: Captioner, photographs: Sequence[Tensor], degradation: Degradation, precision: str
) -> tuple[list[str], list[tuple[int, int]], Tensor]:
    """No captions, the sizes of the degraded photographs, and their places in the joint space (B, E)."""
    with torch.autocast(model.device.type, torch.bfloat16, enabled=precision == "bf16"):
        features = model.encoder(model.render(photographs, [degradation] * len(photographs)))
    sizes = [degradation.size(*photograph.shape[1:]) for photograph in photographs]
    return [], sizes, model.matcher.images(features.float()).cpu()


def _rung(condition: str, parts: Sequence[tuple[list[str], list[tuple[int, int]], Tensor]]) -> Rung:
    return Rung(condition, [], [size for _, sizes, _ in parts for size in sizes], torch.cat([places for _, _, places in parts]))
