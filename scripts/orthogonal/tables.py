"""The tables of an orthogonal search: a CSV of each round's runs, and the main effects of all rounds as CSV and Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import stdev
from typing import Any

from orthogonal.effects import noise
from orthogonal.runs import Runs
from orthogonal.search import Outcome

from soli.evaluation.tables import csv_table, markdown_table
from soli.evaluation.writing import write_whole

CAUTION = (
    "Main effects only: in so few runs they are mixed with what pairs of factors do together. Train the best values together to see "
    "whether they hold."
)


def write_tables(runs: Runs, outcomes: Sequence[Outcome]) -> None:
    """<out>/round<n>.csv, effects.csv and effects.md."""
    for outcome in outcomes:
        write_whole(runs.out / f"round{outcome.round.number}.csv", csv_table(run_rows(runs, outcome)))
    write_whole(runs.out / "effects.csv", csv_table([row for outcome in outcomes for row in effect_rows(outcome)]))
    parts = [f"# Main effects on {runs.score_name}", "", CAUTION, ""]
    for outcome in outcomes:
        parts += [f"## Round {outcome.round.number}: {', '.join(map(str, outcome.round.factors))}", ""]
        parts += [markdown_table(_factor_rows(outcome), _about(runs, outcome)), markdown_table(_value_rows(outcome), "means over runs")]
    write_whole(runs.out / "effects.md", "\n".join(parts))


def run_rows(runs: Runs, outcome: Outcome) -> list[dict[str, Any]]:
    """A run a row: the level (from 1) and value of each factor, the score with its deviation over seeds, minutes, folders."""
    rows, minutes = [], runs.minutes(outcome.round)
    for number, (levels, row) in enumerate(zip(outcome.round.levels, outcome.round.rows, strict=True)):
        of_seeds = outcome.scores[number]
        cells: dict[str, Any] = {"run": number + 1}
        cells |= {f"level of {key}": level + 1 for key, level in zip(outcome.round.values, levels, strict=True)}
        cells |= {key: as_number(value) for key, value in row.items()}
        cells |= {"score": outcome.means[number], "standard deviation": stdev(of_seeds) if len(of_seeds) > 1 else ""}
        cells |= {f"score of seed {seed}": score for seed, score in zip(runs.seeds, of_seeds, strict=True)}
        folders = [str(runs.folder(outcome.round, row, seed)) for seed in runs.seeds]
        rows.append({**cells, "training minutes": minutes[number], "folders": " ".join(folders)})
    return rows


def effect_rows(outcome: Outcome) -> list[dict[str, Any]]:
    """A value of a factor a row: the mean score of its runs, and the factor's spread and share of the variance."""
    return [
        {
            "round": outcome.round.number,
            "factor": effect.key,
            "value": as_number(value),
            "mean score": mean,
            "runs": effect.counts[value],
            "best": value == outcome.best[effect.key],
            "spread": effect.spread,
            "share of variance": effect.share,
        }
        for effect in outcome.effects
        for value, mean in effect.means.items()
    ]


def as_number(text: str) -> float | str:
    """A value of a setting as a number where it is one, for spreadsheets."""
    try:
        return float(text)
    except ValueError:
        return text


def _factor_rows(outcome: Outcome) -> list[dict[str, Any]]:
    shares = {effect.key: effect.share for effect in outcome.effects}
    rest = max(0.0, 1 - sum(shares.values())) if len(set(outcome.means)) > 1 else 0.0
    rows = [
        {"factor": effect.key, "best value": outcome.best[effect.key], "spread": effect.spread, "share of variance": _percent(effect.share)}
        for effect in sorted(outcome.effects, key=lambda effect: -effect.share)
    ]
    return [*rows, {"factor": "interactions and noise", "share of variance": _percent(rest)}]


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _value_rows(outcome: Outcome) -> list[dict[str, Any]]:
    return [
        {"factor": effect.key, "value": value, "mean score": mean, "runs": effect.counts[value]}
        for effect in outcome.effects
        for value, mean in effect.means.items()
    ]


def _about(runs: Runs, outcome: Outcome) -> str:
    """What the numbers are, and how sure."""
    num_runs, seeds = len(outcome.round.rows), ", ".join(map(str, runs.seeds))
    text = f"{num_runs} runs (a grid: {outcome.round.grid}), seeds {seeds}; best values together: {outcome.predicted:.3f} expected"
    deviation = noise(outcome.scores)
    if deviation is None:
        return f"{text}; one seed, so the noise is not known"
    scores_per_value = len(runs.seeds) * min(count for effect in outcome.effects for count in effect.counts.values())
    error = deviation * math.sqrt(2 / scores_per_value)
    return f"{text}; standard deviation over seeds {deviation:.3f}, standard error of a difference of two means {error:.3f}"
