"""What degradation does to embeddings: whether a copy is still nearer to its original than another photograph, and is found again.

Distances are Euclidean, between embeddings averaged over places, (M, E) for M photographs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from soli.evaluation.embeddings import embedding_distances

RECALLS = (1, 5, 10)
ANOTHER = "another photograph"
ROWS = 512  # photographs compared with all others at once


def diagnose(original: Tensor, copies: Mapping[str, Tensor], num_drawn: int = 12) -> dict[str, Any]:
    """Embeddings of M originals, and of the same photographs at each condition -> figures for metrics.json and report.html.

    `distance_to_others`, `ratio`, `std`: as EmbeddingDistances. `found`: the share of photographs whose worst copy is nearer to its
    original than any other original is. `uniformity` of the originals: log of the mean of exp(-2 d^2) on the unit sphere (arXiv
    2005.10242, Eq. 2), 0 when all lie in one point. `pc_id`: how many principal components hold 90 % of the variance. A single
    photograph has no ratio, no uniformity and is not found: None.
    For each condition: `distance` to the original, `alignment` (Eq. 1 there with alpha 2), the share `R@k` of copies that have their
    original among the k nearest of all originals (of several equally near ones the own counts as the last), and the copies' `pc_id`.
    `matrix`: mean distances between conditions of the same photograph, and to another photograph's original. `scatter`: the first
    `num_drawn` photographs on the two main axes of the originals.
    """
    original = original.double()
    views = {"original": original, **{name: copy.double() for name, copy in copies.items()}}
    distances = embedding_distances(original, {name: views[name] for name in copies})
    moved = [torch.linalg.vector_norm(views[name] - original, dim=1) for name in copies]
    worst = torch.stack(moved).amax(0) if moved else torch.zeros(len(original))
    several = len(original) > 1
    conditions = {
        name: {
            "distance": distances.copies[name],
            "alignment": _unit(views[name]).sub(_unit(original)).square().sum(1).mean().item(),
            **_recalls(views[name], original),
            "pc_id": pc_id(views[name]),
        }
        for name in copies
    }
    return {
        "distance_to_others": distances.other,
        "ratio": distances.ratio if several else None,
        "std": distances.std,
        "found": (worst < _nearest_other(original)).double().mean().item() if several else None,
        "uniformity": _uniformity(original) if several else None,
        "pc_id": pc_id(original),
        "conditions": conditions,
        "matrix": _matrix(views),
        "scatter": _scatter(views, num_drawn),
    }


def pc_id(embeddings: Tensor, share: float = 0.9) -> int:
    """How many principal components of (M, E) hold `share` of the variance; 0 when there is none."""
    variances = torch.linalg.svdvals(embeddings - embeddings.mean(0)).square()
    if variances.sum() == 0:
        return 0
    held = variances.cumsum(0) / variances.sum()
    return int((held < share - 1e-12).sum()) + 1


def _nearest_other(original: Tensor) -> Tensor:
    """The distance from each original to the nearest other one, (M,); infinite for a single photograph."""
    nearest = []
    for first in range(0, len(original), ROWS):
        distances = torch.cdist(original[first : first + ROWS], original, compute_mode="donot_use_mm_for_euclid_dist")
        distances.diagonal(first).fill_(torch.inf)
        nearest.append(distances.amin(1))
    return torch.cat(nearest)


def _recalls(copies: Tensor, original: Tensor) -> dict[str, float]:
    ranks = []
    for first in range(0, len(copies), ROWS):
        distances = torch.cdist(copies[first : first + ROWS], original, compute_mode="donot_use_mm_for_euclid_dist")
        own = distances.diagonal(first).unsqueeze(1)
        ranks.append((distances <= own).sum(1) - 1)
    rank = torch.cat(ranks)
    return {f"R@{k}": (rank < k).double().mean().item() for k in RECALLS}


def _uniformity(original: Tensor) -> float:
    squares = 2 - 2 * (_unit(original) @ _unit(original).T)
    kernel = (-2 * squares.clamp_min(0)).exp()
    number = len(original)
    return ((kernel.sum() - kernel.diagonal().sum()) / (number * (number - 1))).log().item()


def _matrix(views: Mapping[str, Tensor]) -> dict[str, Any]:
    """Mean distances between any two conditions of a photograph; the last row and column: to the originals of other photographs."""
    names, original = list(views), views["original"]
    values = [[torch.linalg.vector_norm(views[row] - views[column], dim=1).mean().item() for column in names] for row in names]
    if len(original) > 1:
        others = [_to_others(views[name], original) for name in names]
        values = [[*row, other] for row, other in zip(values, others, strict=True)] + [[*others, others[0]]]
        names = [*names, ANOTHER]
    return {"names": names, "values": values}


def _to_others(view: Tensor, original: Tensor) -> float:
    total = 0.0
    for first in range(0, len(view), ROWS):
        distances = torch.cdist(view[first : first + ROWS], original)
        total += (distances.sum() - distances.diagonal(first).sum()).item()
    return total / (len(view) * (len(view) - 1))


def _scatter(views: Mapping[str, Tensor], number: int) -> dict[str, Any] | None:
    """The first photographs at every condition, on the two axes along which the originals vary most; None where there are no two axes."""
    original = views["original"]
    if min(original.shape) < 2:
        return None
    center = original.mean(0)
    _, sizes, axes = torch.linalg.svd(original - center, full_matrices=False)
    if sizes[0] == 0:
        return None
    explained = (sizes.square() / sizes.square().sum())[:2].tolist()
    points = torch.stack([(view[:number] - center) @ axes[:2].T for view in views.values()], dim=1)  # (photographs, conditions, 2)
    return {"explained": explained, "conditions": list(views), "points": points.tolist()}


def _unit(embeddings: Tensor) -> Tensor:
    return functional.normalize(embeddings, dim=1)
