"""Main effects: the mean score of the runs at each value of a factor, and how much of the scores' variance a factor explains."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, variance


@dataclass(frozen=True)
class Effect:
    """Of one factor: the mean score and the number of runs of each value, and its share of the variance (between 0 and 1)."""

    key: str
    means: Mapping[str, float]
    counts: Mapping[str, int]
    share: float

    @property
    def spread(self) -> float:
        """The best mean less the worst one."""
        return max(self.means.values()) - min(self.means.values())

    def best(self, lowest: bool = False) -> str:
        """The value with the highest mean (or lowest), the first of equal ones."""
        return (min if lowest else max)(self.means, key=self.means.__getitem__)


def main_effects(rows: Sequence[Mapping[str, str]], scores: Sequence[float], values: Mapping[str, Sequence[str]]) -> list[Effect]:
    """Those of the factors in `values`, each with its values in their order, of runs that have one of every factor and a score.

    A share is the sum over runs of (mean of the run's value - mean of all)^2 divided by that of (score - mean of all)^2. In an orthogonal
    array, also where a value stands for two levels, the shares add up to 1 at most; the rest is interactions and noise. Equal scores: 0.
    """
    mean = fmean(scores)
    total = math.fsum((score - mean) ** 2 for score in scores)
    found = []
    for key, of_factor in values.items():
        groups: dict[str, list[float]] = {value: [] for value in of_factor}
        for row, score in zip(rows, scores, strict=True):
            groups[row[key]].append(score)
        means = {value: fmean(group) for value, group in groups.items()}
        explained = math.fsum(len(group) * (means[value] - mean) ** 2 for value, group in groups.items())
        found.append(Effect(key, means, {value: len(group) for value, group in groups.items()}, explained / total if total else 0.0))
    return found


def predicted(effects: Sequence[Effect], scores: Sequence[float], values: Mapping[str, str]) -> float:
    """The score of a combination of values if factors do not interact: the mean, and what each value adds to it."""
    mean = fmean(scores)
    return mean + math.fsum(effect.means[values[effect.key]] - mean for effect in effects)


def noise(scores: Sequence[Sequence[float]]) -> float | None:
    """The standard deviation between seeds of the same run, pooled over runs; None of one seed."""
    if len(scores[0]) < 2:
        return None
    return math.sqrt(fmean(variance(of_run) for of_run in scores))
