"""Photographs for the report: those that lose most by degradation and those that lose least, with what the captioner said and looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from soli.datasets import CaptionedImages
from soli.degradations import Degradation
from soli.evaluation.attention_maps import attention_to
from soli.evaluation.report_parts import GalleryEntry, GalleryView
from soli.model import Captioner


def make_gallery(
    model: Captioner,
    data: CaptionedImages,
    degradations: Sequence[Degradation],
    captions: Mapping[str, Sequence[str]],
    each: Mapping[str, np.ndarray],
    number: int,
) -> list[GalleryEntry]:
    """`number` photographs: half of them with the worst drops of CIDEr, the other half with the best ones; all where there are fewer.

    `captions` and the CIDEr of `each` photograph (M,) by condition, among them `original`.
    Attention is that at the original and at the condition where a photograph's caption scores worst.
    """
    degraded = [name for name in each if name != "original"]
    if not degraded or number < 1:
        return []
    drops = each["original"] - np.mean([each[name] for name in degraded], axis=0)
    order = np.argsort(-drops, kind="stable")
    chosen = order if len(order) <= number else np.concatenate([order[: (number + 1) // 2], order[len(order) - number // 2 :]])
    entries = []
    for index in tqdm(chosen.tolist(), desc="gallery", unit="photograph", dynamic_ncols=True):
        worst = min(degraded, key=lambda name: each[name][index])
        photograph, example = data.image(index), data.examples[index]
        views = []
        for degradation in degradations:
            name = degradation.spec
            score = float(each[name][index])
            views.append(_view(model, photograph, degradation, captions[name][index], score, name in ("original", worst)))
        entries.append(GalleryEntry(example.image_id, tuple(example.captions), tuple(views), float(drops[index])))
    return entries


@torch.inference_mode()
def _view(
    model: Captioner,
    photograph: Tensor,
    degradation: Degradation,
    caption: str,
    score: float,
    attended: bool,
) -> GalleryView:
    name, (height, width) = degradation.spec, degradation.size(*photograph.shape[1:])
    if attended:
        seen = attention_to(model, photograph.permute(1, 2, 0).numpy(), degradation, caption)
        return GalleryView(name, f"{width}x{height}", seen.image, caption, score, seen.words, seen.maps)
    image = (model.render([photograph], [degradation])[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    return GalleryView(name, f"{width}x{height}", image, caption, score, (), np.zeros((0, 0, 0)))
