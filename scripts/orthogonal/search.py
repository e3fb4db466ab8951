"""Rounds of an orthogonal search: an array is run, the best value of each factor chosen by main effects, its range becomes the interval."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from orthogonal.arrays import design
from orthogonal.effects import Effect, main_effects, predicted
from orthogonal.factors import Factor

from soli.interfaces import SoliError


@dataclass(frozen=True)
class Round:
    """What is run in a round: the levels and the values of every run. `decided` factors have one value in all of them."""

    number: int
    factors: tuple[Factor, ...]
    values: Mapping[str, tuple[str, ...]]  # of each factor, by level
    decided: Mapping[str, str]
    levels: tuple[tuple[int, ...], ...]
    rows: tuple[Mapping[str, str], ...]
    grid: int  # how many runs would try every combination

    @classmethod
    def of(cls, number: int, factors: Sequence[Factor], num_levels: int, num_runs: int | None = None) -> Round:
        """Raises SoliError where no factor has two values, and for factors and runs that no array has."""
        values = {factor.key: factor.values(num_levels) for factor in factors}
        open_factors = tuple(factor for factor in factors if len(set(values[factor.key])) > 1)
        if not open_factors:
            raise SoliError("No factor has more than one value.")
        decided = {key: of_factor[0] for key, of_factor in values.items() if len(set(of_factor)) == 1}
        array = design(len(open_factors), num_levels, num_runs)
        levels = tuple(tuple(map(int, run)) for run in array)
        rows = tuple({factor.key: values[factor.key][level] for factor, level in zip(open_factors, run)} | decided for run in levels)
        of_open = {factor.key: values[factor.key] for factor in open_factors}
        return cls(number, open_factors, of_open, decided, levels, rows, math.prod(len(set(of_factor)) for of_factor in of_open.values()))


@dataclass(frozen=True)
class Outcome:
    """A round with its scores (runs, seeds), the means of these, the main effects, and the best values by them."""

    round: Round
    scores: tuple[tuple[float, ...], ...]
    means: tuple[float, ...]
    effects: tuple[Effect, ...]
    best: Mapping[str, str]
    predicted: float
    best_run: int  # the place of the best single run

    @classmethod
    def of(cls, of_round: Round, scores: Sequence[Sequence[float]], lowest: bool = False) -> Outcome:
        means = tuple(fmean(of_run) for of_run in scores)
        effects = tuple(main_effects(of_round.rows, means, of_round.values))
        best = {effect.key: effect.best(lowest) for effect in effects} | dict(of_round.decided)
        best_run = (min if lowest else max)(range(len(means)), key=means.__getitem__)
        return cls(of_round, tuple(map(tuple, scores)), means, effects, best, predicted(effects, means, best), best_run)


Score = Callable[[Round], Sequence[Sequence[float]] | None]


def search(
    factors: Sequence[Factor], num_levels: int, rounds: int, score: Score, num_runs: int | None = None, lowest: bool = False
) -> Iterator[Outcome]:
    """The outcome of each round. `score` runs a round: a score of every run and seed, or None to end the search before it.

    The search ends early where whole numbers and choices leave nothing to try.
    """
    left = list(factors)
    for number in range(1, rounds + 1):
        if number > 1 and all(len(set(factor.values(num_levels))) == 1 for factor in left):
            return
        of_round = Round.of(number, left, num_levels, num_runs)
        scores = score(of_round)
        if scores is None:
            return
        outcome = Outcome.of(of_round, scores, lowest)
        yield outcome
        left = [factor.narrowed(factor.values(num_levels).index(outcome.best[factor.key]), num_levels) for factor in left]
