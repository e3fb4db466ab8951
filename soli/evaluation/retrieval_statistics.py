"""What each photograph adds to the scores of retrieval, so that two models can be compared by resamples of the photographs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from soli.evaluation.retrieval import RECALLS, Owner, Ranks
from soli.evaluation.retrieval_folds import mean_metrics
from soli.evaluation.statistics import Statistics


@dataclass(frozen=True)
class RetrievalStatistics(Statistics):
    """`rows`: of B photographs `i2t` (B, 4), found at each of RECALLS (0 or 1) and rank; `t2i` (B, 5), the same summed up over a
    photograph's captions, and how many these are, divided by the number of captions in the fold. `metrics`: the scores of all.

    In a resample every photograph keeps its ranks: it is drawn again, not what it was ranked among.
    """

    metrics: dict[str, float]

    @classmethod
    def of(cls, ranks: Ranks, image_of_caption: Owner, fold_size: int | None = None) -> RetrievalStatistics:
        """From ranks within folds, as `fold_ranks` gives them."""
        owner = np.asarray(image_of_caption)
        number = len(ranks.images)
        found = _found(ranks.captions.cpu().numpy())
        sums = np.stack([np.bincount(owner, column, number) for column in [*found.T, np.ones(len(owner))]], axis=1)
        in_fold = np.bincount(owner // (fold_size or number))
        by_caption = sums / in_fold[np.arange(number) // (fold_size or number), None]
        return cls({"i2t": _found(ranks.images.cpu().numpy()), "t2i": by_caption}, mean_metrics(ranks, owner, fold_size))

    def scores(self) -> dict[str, float]:
        """All scores of `rank_metrics`, the median ranks among them."""
        return dict(self.metrics)

    def resampled(self, counts: np.ndarray) -> dict[str, np.ndarray]:
        """Those scores (R,) that are means, of R sets in which photograph b occurs `counts[r, b]` times; counts (R, B)."""
        images, captions = counts @ self.rows["i2t"], counts @ self.rows["t2i"]
        means = {"i2t": images / counts.sum(1, keepdims=True), "t2i": captions[:, :-1] / captions[:, -1:]}
        names = [*(f"R@{k}" for k in RECALLS), "mean_rank"]
        scores = {f"{way}_{name}": values[:, place] for way, values in means.items() for place, name in enumerate(names)}
        return {**scores, "rsum": sum(values[:, : len(RECALLS)].sum(1) for values in means.values())}


def _found(ranks: np.ndarray) -> np.ndarray:
    """Ranks from 0 (M,) -> found at each of RECALLS, and rank from 1 (M, 4)."""
    return np.stack([*(ranks < k for k in RECALLS), ranks + 1], axis=1).astype(np.float64)
