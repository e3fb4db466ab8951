"""From a round of an orthogonal search to trainings, and from their run folders to scores."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from orthogonal.search import Round

from soli.evaluation.cost import training_cost
from soli.interfaces import SoliError
from soli.json_text import parse_json
from soli.spelling import nearest
from soli.training.checkpoint import BEST, LAST, read_progress


@dataclass(frozen=True)
class Runs:
    """The runs of a search: `<out>/round1/run1_seed0` and so on. `overrides` hold for all of them.

    `score` is a key of the validations in metrics.jsonl; None: the one that selects the best checkpoint.
    """

    out: Path
    overrides: tuple[str, ...]
    seeds: tuple[int, ...]
    score: str | None = None

    @property
    def score_name(self) -> str:
        return self.score or "the validation score that selects the best weights"

    def trainings(self, of_round: Round) -> list[tuple[Path, tuple[str, ...]]]:
        """Folders and overrides, all runs of a seed together; settings that the array has twice are trained once."""
        wanted = {self.folder(of_round, row, seed): self.settings(row, seed) for seed in self.seeds for row in of_round.rows}
        return list(wanted.items())

    def settings(self, row: Mapping[str, str], seed: int) -> tuple[str, ...]:
        """The overrides of a run."""
        return (*self.overrides, *(f"{key}={value}" for key, value in row.items()), f"seed={seed}")

    def folder(self, of_round: Round, row: Mapping[str, str], seed: int) -> Path:
        """That of the first run with these settings."""
        return self.out / f"round{of_round.number}" / f"run{of_round.rows.index(row) + 1}_seed{seed}"

    def scores(self, of_round: Round) -> list[list[float]]:
        """A score of every run and seed. Raises SoliError for runs that have none."""
        return [[read_score(self.folder(of_round, row, seed), self.score) for seed in self.seeds] for row in of_round.rows]

    def minutes(self, of_round: Round) -> list[float]:
        """What the steps of each run took, all its seeds together."""
        return [sum(training_minutes(self.folder(of_round, row, seed)) for seed in self.seeds) for row in of_round.rows]


def read_score(folder: Path, score: str | None = None) -> float:
    """The score of a finished run at its best checkpoint: the one that selected it, or another key of that validation.

    Raises SoliError where there is none, or no finite number.
    """
    if score is None:
        found = read_progress(folder / LAST).best_score
    else:
        validations = [entry for entry in map(parse_json, _lines(folder)) if entry["kind"] == "validation"]
        if not validations:
            raise SoliError(f"{folder} was never validated: lower validation.every_epochs.")
        best_step = read_progress(folder / BEST).step
        (*_, validation) = [entry for entry in validations if entry["step"] == best_step]
        numbers = [key for key, value in validation.items() if isinstance(value, float)]
        if score not in validation:
            raise SoliError(f"--score {score} is not of the validation{nearest(score, numbers)}: choose one of {', '.join(numbers)}.")
        found = validation[score]
    if not isinstance(found, int | float) or not math.isfinite(found):
        raise SoliError(f"{folder} has {found} for a score: it must be a finite number.")
    return float(found)


def training_minutes(folder: Path) -> float:
    """What the steps took, validation left out; 0 where the log does not say."""
    return training_cost(folder / "metrics.jsonl", folder / "data.json").get("training_seconds", 0.0) / 60


def _lines(folder: Path) -> list[str]:
    return (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
