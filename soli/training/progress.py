"""How far a training has come: what a checkpoint remembers besides weights and the state of the optimizer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass
class Progress:
    """How far a run has come: `batch` steps of `epoch` epochs of phase number `phase` are done, `step` steps in all.

    `best_score` is the phase's. `distance_at_start` is how far the embeddings of different photographs lay apart when it began, and
    `compared_at_start` the same in the distance that the contrastive loss computes. `sums` adds up the figures of the epoch's steps,
    `skipped` counts those that fp16's loss scale left out, and `scaler` is its state. `num_logged` lines of the log are older than this.
    """

    phase: int = 0
    epoch: int = 0
    batch: int = 0
    step: int = 0
    best_score: float | None = None
    validations_without_gain: int = 0
    distance_at_start: float | None = None
    compared_at_start: float | None = None
    sums: dict[str, float] = field(default_factory=dict)
    skipped: int = 0
    scaler: dict[str, float] = field(default_factory=dict)
    finished: bool = False
    num_logged: int | None = None

    def count_step(self) -> None:
        """One step further."""
        self.step, self.batch = self.step + 1, self.batch + 1

    def add_figures(self, figures: Mapping[str, float]) -> None:
        """Those of one step; if one is not finite (a step that the loss scale leaves out) they do not count in the means."""
        if all(map(math.isfinite, figures.values())):
            self.sums = {name: self.sums.get(name, 0.0) + value for name, value in figures.items()}
        else:
            self.skipped += 1

    def means(self) -> dict[str, float]:
        """The figures of the epoch, averaged over its steps, and how many of these were left out, if any."""
        means = {name: value / (self.batch - self.skipped) for name, value in self.sums.items()}
        return {**means, "skipped_steps": self.skipped} if self.skipped else means

    def end_epoch(self) -> None:
        """On to the next epoch of the phase."""
        self.epoch, self.batch, self.sums, self.skipped = self.epoch + 1, 0, {}, 0

    def end_phase(self, num_phases: int) -> None:
        """On to the next phase, if there is one; each has a best score of its own."""
        self.end_epoch()
        self.phase, self.epoch = self.phase + 1, 0
        self.finished = self.phase == num_phases
        if not self.finished:
            self.best_score, self.validations_without_gain = None, 0
            self.distance_at_start = self.compared_at_start = None
