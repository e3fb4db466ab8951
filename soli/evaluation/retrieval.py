"""Retrieval of captions by photographs and of photographs by captions: recall at k, median and mean rank (arXiv 1707.05612, section 4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from soli.interfaces import SoliError
from soli.spelling import kind_of

RECALLS = (1, 5, 10)
COMPARED = 2**24  # similarities looked at together
ROWS = 4096  # captions whose own images are looked up together
COUNT = torch.int32  # torch adds up truth values ten times as fast in it as in int64

Owner = Sequence[int] | Tensor | np.ndarray


class Ranks(NamedTuple):
    """From 0: of N images among M captions, that of their best caption (N,); of the captions among the images, that of their image (M,)."""

    images: Tensor
    captions: Tensor

    def metrics(self) -> dict[str, float]:
        """The scores of `rank_metrics`."""
        scores = _summary("i2t", self.images) | _summary("t2i", self.captions)
        return {**scores, "rsum": sum(score for name, score in scores.items() if "_R@" in name)}


def rank_metrics(similarity: Tensor | np.ndarray, image_of_caption: Owner) -> dict[str, float]:
    """Similarities (N images, M captions), and which image (0 to N - 1) each caption is of (M,) -> scores of both directions.

    `i2t_R@1`, `_R@5`, `_R@10`: the share of images that have one of their captions among the k most similar ones; `t2i_R@k`: the share of
    captions that have their image there; `rsum` adds up these six. `i2t_median_rank` and `t2i_median_rank` are floor(median of ranks from
    0) + 1, the mean ranks count from 1. An image's rank is that of its best caption. What is equally similar comes before the true one, so
    that embeddings in one point find nothing. On the device of `similarity`.

    Raises SoliError for shapes that do not fit, for NaN, and for images without a caption.
    """
    scores = as_numbers(similarity, "similarity")
    owner = as_numbers(image_of_caption, "image_of_caption", scores.device)
    _check(scores, owner)
    own = scores[owner, torch.arange(len(owner), device=scores.device)]
    return _count(own, owner, len(scores), lambda rows: scores[rows]).metrics()


def rank(images: Tensor, captions: Tensor, image_of_caption: Owner) -> Ranks:
    """Embeddings of images (N, E) and captions (M, E) -> their ranks by inner products, as `rank_metrics` counts them.

    Products are in float64, rounded to float32: so they do not depend on how many are computed together, and what is equal in truth is
    equal. Never are all N x M of them in memory. On the device of the embeddings.

    Raises SoliError for shapes that do not fit, for embeddings that are not finite, and for images without a caption.
    """
    owner = torch.as_tensor(image_of_caption, device=images.device)
    check_embeddings(images, captions, owner)
    own = torch.cat([_products(images, some, of) for some, of in zip(captions.split(ROWS), owner.split(ROWS), strict=True)])
    columns = captions.double().T

    def block(rows: slice) -> Tensor:
        some = (images[rows].double() @ columns).float()
        (inside,) = torch.where((owner >= rows.start) & (owner < rows.stop))
        some[owner[inside] - rows.start, inside] = own[inside]  # the very same numbers, should another order of adding up round otherwise
        return some

    return _count(own, owner, len(images), block)


def _products(images: Tensor, captions: Tensor, owner: Tensor) -> Tensor:
    """Of each caption (M, E) with its image, (M,)."""
    return (images[owner].double() * captions.double()).sum(1).float()


def _count(own: Tensor, owner: Tensor, num_images: int, block: Callable[[slice], Tensor]) -> Ranks:
    """Ranks from the similarity `own` (M,) of each caption to its image; `block` gives the similarities (R, M) of R images."""
    best = torch.full((num_images,), -torch.inf, dtype=own.dtype, device=own.device).scatter_reduce(0, owner, own, "amax")
    by_image, by_caption = (torch.zeros(size, dtype=COUNT, device=own.device) for size in (num_images, len(own)))
    rows = max(1, COMPARED // len(own))
    for first in range(0, num_images, rows):
        here = slice(first, min(first + rows, num_images))
        some = block(here)
        by_image[here] = (some >= best[here, None]).sum(1, dtype=COUNT)
        by_caption += (some >= own).sum(0, dtype=COUNT)
    equal = torch.zeros_like(by_image).scatter_add(0, owner, (own == best[owner]).to(COUNT))  # the image's own captions do not count
    return Ranks(by_image - equal, by_caption - 1)


def as_numbers(values: object, name: str, device: torch.device | None = None) -> Tensor:
    """Values as a tensor. Raises SoliError, by the `name` that they have, for what is none."""
    try:
        return torch.as_tensor(values, device=device)
    except (TypeError, ValueError, RuntimeError) as reason:
        raise SoliError(f"{name} is {kind_of(values)}: give numbers, as a tensor, an array or lists of one length.") from reason


def check_embeddings(images: Tensor, captions: Tensor, owner: Tensor) -> None:
    """Raises SoliError as `rank` does."""
    if images.dim() != 2 or captions.dim() != 2 or images.shape[1] != captions.shape[1] or owner.shape != captions.shape[:1]:
        raise SoliError(
            f"images have the shape {tuple(images.shape)}, captions {tuple(captions.shape)}, image_of_caption {tuple(owner.shape)}: "
            "give embeddings (images, width) and (captions, width), and one image for each caption."
        )
    _check_owner(owner, len(images))
    for name, embeddings in (("images", images), ("captions", captions)):
        if not embeddings.is_floating_point() or not embeddings.isfinite().all():
            raise SoliError(
                f"The embeddings of {name} have NaN or infinite entries, or are of type {embeddings.dtype}: give finite floats."
            )


def _check(scores: Tensor, owner: Tensor) -> None:
    if scores.dim() != 2 or not scores.is_floating_point() or owner.shape != scores.shape[1:]:
        raise SoliError(
            f"similarity has the shape {tuple(scores.shape)} and type {scores.dtype}, image_of_caption the shape {tuple(owner.shape)}: "
            "give floats (images, captions) and one image for each caption."
        )
    _check_owner(owner, len(scores))
    if not scores.sum().isfinite() and scores.isnan().any():  # the sum is quick, and finite nearly always
        raise SoliError("similarity has NaN: the embeddings that it was made of are broken.")


def _check_owner(owner: Tensor, num_images: int) -> None:
    if owner.is_floating_point() or owner.dtype == torch.bool or not len(owner) or not num_images:
        raise SoliError(
            f"image_of_caption has {len(owner)} entries of type {owner.dtype}, for {num_images} images: give whole numbers, one at least."
        )
    if owner.min() < 0 or owner.max() >= num_images:
        raise SoliError(f"image_of_caption names images {int(owner.min())} to {int(owner.max())}: there are 0 to {num_images - 1}.")
    missing = (torch.bincount(owner, minlength=num_images) == 0).nonzero().flatten().tolist()
    if missing:
        raise SoliError(f"{len(missing)} images have no caption, the first of them {missing[0]}: leave them out.")


def _summary(direction: str, ranks: Tensor) -> dict[str, float]:
    """Of ranks from 0."""
    numbers = ranks.cpu().numpy()
    recalls = {f"{direction}_R@{k}": float((numbers < k).mean()) for k in RECALLS}
    median, mean = np.floor(np.median(numbers)) + 1, numbers.mean() + 1
    return {**recalls, f"{direction}_median_rank": float(median), f"{direction}_mean_rank": float(mean)}
