"""Photographs for the report: those that lose most by degradation and those that lose least, with what the captioner said and looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from soli.datasets import CaptionedImages
from soli.degradations import Degradation
from soli.evaluation.attention_maps import look
from soli.evaluation.report import GalleryEntry, GalleryView
from soli.model import Captioner


def make_gallery(
    model: Captioner,
    data: CaptionedImages,
    degradations: Sequence[Degradation],
    captions: Mapping[str, Sequence[str]],
    each: Mapping[str, np.ndarray],
    number: int,
    progress: bool = True,
    **options: Any,
) -> list[GalleryEntry]:
    """`number` photographs: half of them with the worst drops of CIDEr, the other half with the best ones; all where there are fewer.

    `captions` and the CIDEr of `each` photograph (M,) by condition, among them `original`; `options` are those of GenerationOptions.
    Attention is that at the original and at the condition where a photograph's caption scores worst.
    """
    degraded = [name for name in each if name != "original"]
    if not degraded or number < 1:
        return []
    drops = each["original"] - np.mean([each[name] for name in degraded], axis=0)
    order = np.argsort(-drops, kind="stable")
    chosen = order if len(order) <= number else np.concatenate([order[: (number + 1) // 2], order[len(order) - number // 2 :]])
    entries = []
    for index in tqdm(chosen.tolist(), desc="gallery", unit="photograph", disable=not progress, dynamic_ncols=True):
        worst = min(degraded, key=lambda name: each[name][index])
        views = [
            _view(model, data, degradation, index, captions, each, degradation.spec in ("original", worst), options)
            for degradation in degradations
        ]
        example = data.examples[index]
        entries.append(GalleryEntry(example.image_id, tuple(example.captions), tuple(views), float(drops[index])))
    return entries


@torch.inference_mode()
def _view(
    model: Captioner,
    data: CaptionedImages,
    degradation: Degradation,
    index: int,
    captions: Mapping[str, Sequence[str]],
    each: Mapping[str, np.ndarray],
    attended: bool,
    options: dict[str, Any],
) -> GalleryView:
    photograph = data.image(index)
    height, width = degradation.size(*photograph.shape[1:])
    words: tuple[str, ...] = ()
    maps = np.zeros((0, 0, 0))
    if attended:
        seen = look(model, photograph.permute(1, 2, 0).numpy(), degradation, index, **options)
        image, words, maps = seen.image, seen.words, seen.maps
    else:
        image = (model.render([photograph], [degradation])[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    name = degradation.spec
    return GalleryView(name, f"{width}x{height}", image, captions[name][index], float(each[name][index]), words, maps)
