"""Whether one variant's captions are better than another's: paired bootstrap over photographs (Koehn, 2004; Efron and Tibshirani, 1993)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

import numpy as np

from soli.evaluation.statistics import Statistics

RESAMPLES = 1000
CHUNK = 200  # resamples at once: (200, photographs) numbers


@dataclass(frozen=True)
class Spread:
    """Scores of several seeds: their mean, and their standard deviation (n - 1), None for one seed."""

    mean: float
    std: float | None
    number: int

    @classmethod
    def of(cls, scores: Sequence[float]) -> Spread:
        return cls(fmean(scores), stdev(scores) if len(scores) > 1 else None, len(scores))


@dataclass(frozen=True)
class Difference:
    """Of a score between two variants: what was measured, the interval that holds 95 % of its resamples, and the two-sided p-value.

    The interval and the p-value say what other photographs might have given; they know nothing of other seeds.
    """

    value: float
    low: float
    high: float
    p: float


def compare(
    ours: Sequence[Statistics], theirs: Sequence[Statistics], resamples: int = RESAMPLES, seed: int = 0, confidence: float = 0.95
) -> dict[str, Difference]:
    """ours - theirs for every score that both have; each a list with the statistics of one run per seed, of the same B photographs.

    Resamples draw B photographs with replacement, the same for both variants and all seeds; a variant's score is the mean over its seeds.
    The p-value is twice the smaller share of resamples on either side of no difference (ties count on both), at least 1 / resamples.
    CIDEr's word weights stay those of all photographs.
    """
    whole = _difference(ours, theirs, None)
    drawn = [_difference(ours, theirs, counts) for counts in _resamples(_number(ours[0]), resamples, seed)]
    differences = {}
    for name, value in whole.items():
        values = np.concatenate([part[name] for part in drawn])
        low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
        share = min((values <= 0).mean(), (values >= 0).mean())
        p = min(1.0, max(2 * float(share), 1 / resamples))
        differences[name] = Difference(float(value[0]), float(low), float(high), p)
    return differences


def _resamples(number: int, resamples: int, seed: int):
    """How often each photograph occurs in each resample: (at most CHUNK, number) at a time."""
    generator = np.random.default_rng(seed)
    for first in range(0, resamples, CHUNK):
        yield generator.multinomial(number, np.full(number, 1 / number), size=min(CHUNK, resamples - first)).astype(np.float64)


def _difference(ours: Sequence[Statistics], theirs: Sequence[Statistics], counts: np.ndarray | None) -> dict[str, np.ndarray]:
    first, second = (_mean_scores(runs, counts) for runs in (ours, theirs))
    return {name: values - second[name] for name, values in first.items() if name in second}


def _mean_scores(runs: Sequence[Statistics], counts: np.ndarray | None) -> dict[str, np.ndarray]:
    counts = np.ones((1, _number(runs[0]))) if counts is None else counts
    scores: list[Mapping[str, np.ndarray]] = [run.resampled(counts) for run in runs]
    return {name: np.mean([score[name] for score in scores], axis=0) for name in scores[0]}


def _number(statistics: Statistics) -> int:
    return len(next(iter(statistics.rows.values())))
