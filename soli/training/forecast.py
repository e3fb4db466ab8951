"""How long a training will still take: said once a phase, from the first steps as they were measured."""

from __future__ import annotations

import time
from collections.abc import Callable

from soli.training.settings import Recipe

LEAST = 60.0  # seconds; what is over sooner needs no forecast
ENOUGH = ((10, 3.0), (3, 20.0))  # so many steps that took so many seconds are a measure


class Forecast:
    """Of the phase `name`: is told when an epoch begins and when a step has ended, and once tells `say` what is to be expected.

    The first step does not count, in which PyTorch prepares itself and `runtime.compile` compiles, and neither does what lies between
    epochs: validations and saves. The steps of other phases take other times: before the last phase it speaks of the present one alone.
    """

    def __init__(self, name: str, recipe: Recipe, say: Callable[[str], None], clock: Callable[[], float] = time.perf_counter) -> None:
        self._name, self._say, self._clock = name, say, clock
        self._most_steps = recipe.runtime.max_steps
        self._about = "about" if recipe.validation.patience is None else "at most about"
        self._is_last_phase = self._ends_run = name == list(recipe.phases)[-1]
        self._left = self._num_measured = 0
        self._measured = 0.0
        self._began: float | None = None  # the step that is measured
        self._has_begun = self._is_done = False

    def begin_epoch(self, left: int, done: int) -> None:
        """`left` steps are left of the phase, those of this epoch among them; `done` steps of the whole run are done."""
        self._left, self._ends_run = left, self._is_last_phase
        if self._most_steps is not None and self._most_steps - done <= left:
            self._left, self._ends_run = self._most_steps - done, True
        self._began = self._clock() if self._has_begun else None

    def count_step(self) -> None:
        """A step has ended."""
        if self._is_done:
            return
        now = self._clock()
        if self._began is not None:
            self._num_measured, self._measured = self._num_measured + 1, self._measured + now - self._began
        self._left, self._began, self._has_begun = self._left - 1, now, True
        if any(self._num_measured >= steps and self._measured >= seconds for steps, seconds in ENOUGH):
            self._is_done = True
            expected = self._left * self._measured / self._num_measured
            if expected >= LEAST:
                end = "run" if self._ends_run else "phase"
                self._say(f"{self._name}: {self._about} {duration(expected)} to the end of this {end}, validations aside")


def duration(seconds: float) -> str:
    """As exact as a forecast can be: `7 min`, `1 h 20 min`, `14 h`, `3 days 5 h`."""
    minutes = round(seconds / 60) if seconds < 3570 else 10 * round(seconds / 600)
    if minutes < 60:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60) if minutes < 600 else (round(seconds / 3600), 0)
    if hours < 48:
        return f"{hours} h {rest} min" if rest else f"{hours} h"
    return f"{hours // 24} days {hours % 24} h" if hours % 24 else f"{hours // 24} days"
