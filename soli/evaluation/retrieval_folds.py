"""Retrieval among all photographs, or within folds of them whose scores are averaged: COCO's "1K" (arXiv 1707.05612, section 4)."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

import numpy as np
import torch
from torch import Tensor

from soli.evaluation.retrieval import Owner, Ranks, as_numbers, check_embeddings, rank
from soli.interfaces import SoliError


def fold_metrics(images: Tensor, captions: Tensor, image_of_caption: Owner, fold_size: int | None = None) -> dict[str, float]:
    """The scores of `rank_metrics` from embeddings of images (N, E) and captions (M, E), averaged over folds.

    A fold is `fold_size` images in order, with their captions, and is ranked by itself; None: all images together.
    Raises SoliError as `check_folds` and `rank` do.
    """
    images, captions = as_numbers(images, "images"), as_numbers(captions, "captions")
    return mean_metrics(fold_ranks(images, captions, image_of_caption, fold_size), image_of_caption, fold_size)


def fold_ranks(images: Tensor, captions: Tensor, image_of_caption: Owner, fold_size: int | None = None) -> Ranks:
    """The ranks (N,), (M,) of all images and captions, each within its fold. Raises SoliError as `fold_metrics` does."""
    owner = as_numbers(image_of_caption, "image_of_caption", images.device)
    if fold_size is None:
        return rank(images, captions, owner)
    check_folds(len(images), fold_size)
    check_embeddings(images, captions, owner)
    of_captions = torch.empty_like(owner, dtype=torch.long)
    of_images = []
    for first in range(0, len(images), fold_size):
        inside = (owner >= first) & (owner < first + fold_size)
        ranks = rank(images[first : first + fold_size], captions[inside], owner[inside] - first)
        of_images.append(ranks.images)
        of_captions[inside] = ranks.captions.long()
    return Ranks(torch.cat(of_images), of_captions)


def mean_metrics(ranks: Ranks, image_of_caption: Owner, fold_size: int | None = None) -> dict[str, float]:
    """The scores of ranks, averaged over folds."""
    owner = torch.as_tensor(image_of_caption, device=ranks.images.device)
    size = fold_size or len(ranks.images)
    parts = ranks.images.split(size)
    scores = [Ranks(part, ranks.captions[owner // size == number]).metrics() for number, part in enumerate(parts)]
    return {name: fmean(score[name] for score in scores) for name in scores[0]}


def check_folds(num_images: int, fold_size: int | None) -> None:
    """Raises SoliError unless so many images are whole folds."""
    if num_images < 2:
        raise SoliError("retrieval among fewer than two photographs finds everything: give more.")
    if fold_size is None or (fold_size > 1 and num_images % fold_size == 0):
        return
    if fold_size < 2:
        raise SoliError(f"fold_size={fold_size} must be at least 2, or null for all photographs at once.")
    if num_images < fold_size:
        raise SoliError(f"fold_size={fold_size} is more than the {num_images} photographs: give fold_size=null for all of them at once.")
    left = num_images % fold_size
    raise SoliError(
        f"fold_size={fold_size} would leave out {left} of the {num_images} photographs: take {num_images - left} of them "
        f"(dataset.limit={num_images - left}), or give a fold_size that divides {num_images}, or fold_size=null."
    )


def owners(captions: Sequence[Sequence[str]]) -> np.ndarray:
    """Of photographs with their captions: which photograph each caption is of, (M,), the captions in order."""
    return np.repeat(np.arange(len(captions)), [len(some) for some in captions])
