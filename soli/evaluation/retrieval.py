"""Retrieval of captions by photographs and of photographs by captions: recall at k, median and mean rank (arXiv 1707.05612, section 4)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from soli.interfaces import SoliError

RECALLS = (1, 5, 10)
COMPARED = 2**24  # similarities looked at together
COUNT = torch.int32  # torch adds up truth values ten times as fast in it as in int64


def rank_metrics(similarity: Tensor | np.ndarray, image_of_caption: Sequence[int] | Tensor | np.ndarray) -> dict[str, float]:
    """Similarities (N images, M captions), and which image (0 to N - 1) each caption is of (M,) -> scores of both directions.

    `i2t_R@1`, `_R@5`, `_R@10`: the share of images that have one of their captions among the k most similar ones; `t2i_R@k`: the share of
    captions that have their image there; `rsum` adds up these six. `i2t_median_rank` and `t2i_median_rank` are floor(median of ranks from
    0) + 1, the mean ranks count from 1. An image's rank is that of its best caption. What is equally similar comes before the true one, so
    that embeddings in one point find nothing. On the device of `similarity`.

    Raises SoliError for shapes that do not fit, for NaN, and for images without a caption.
    """
    scores = torch.as_tensor(similarity)
    owner = torch.as_tensor(image_of_caption, device=scores.device)
    _check(scores, owner)
    num_images, num_captions = scores.shape
    own = scores[owner, torch.arange(num_captions, device=scores.device)]  # (M,)
    best = torch.full((num_images,), -torch.inf, dtype=scores.dtype, device=scores.device).scatter_reduce(0, owner, own, "amax")
    by_image, by_caption = (torch.zeros(size, dtype=COUNT, device=scores.device) for size in scores.shape)
    rows = max(1, COMPARED // num_captions)
    for first in range(0, num_images, rows):
        some = scores[first : first + rows]
        by_image[first : first + rows] = (some >= best[first : first + rows, None]).sum(1, dtype=COUNT)
        by_caption += (some >= own).sum(0, dtype=COUNT)
    equal = torch.zeros_like(by_image).scatter_add(0, owner, (own == best[owner]).to(COUNT))  # the image's own captions do not count
    return _summary("i2t", by_image - equal) | _summary("t2i", by_caption - 1) | {"rsum": _rsum(by_image - equal, by_caption - 1)}


def _check(scores: Tensor, owner: Tensor) -> None:
    if scores.dim() != 2 or not scores.is_floating_point() or owner.shape != scores.shape[1:]:
        raise SoliError(
            f"similarity has the shape {tuple(scores.shape)} and type {scores.dtype}, image_of_caption the shape {tuple(owner.shape)}: "
            "give floats (images, captions) and one image for each caption."
        )
    if owner.is_floating_point() or owner.dtype == torch.bool or not scores.numel():
        raise SoliError(f"image_of_caption of type {owner.dtype} for {tuple(scores.shape)} similarities: give whole numbers, one at least.")
    if owner.min() < 0 or owner.max() >= len(scores):
        raise SoliError(f"image_of_caption names images {int(owner.min())} to {int(owner.max())}: there are 0 to {len(scores) - 1}.")
    missing = (torch.bincount(owner, minlength=len(scores)) == 0).nonzero().flatten().tolist()
    if missing:
        raise SoliError(f"{len(missing)} images have no caption, the first of them {missing[0]}: leave them out.")
    if not scores.sum().isfinite() and scores.isnan().any():  # the sum is quick, and finite nearly always
        raise SoliError("similarity has NaN: the embeddings that it was made of are broken.")


def _summary(direction: str, ranks: Tensor) -> dict[str, float]:
    """Of ranks from 0."""
    numbers = ranks.cpu().numpy()
    recalls = {f"{direction}_R@{k}": float((numbers < k).mean()) for k in RECALLS}
    return {**recalls, f"{direction}_median_rank": float(np.floor(np.median(numbers)) + 1), f"{direction}_mean_rank": numbers.mean() + 1.0}


def _rsum(*directions: Tensor) -> float:
    return sum((ranks < k).double().mean().item() for ranks in directions for k in RECALLS)
