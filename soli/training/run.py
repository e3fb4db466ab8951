"""What all steps of a training share, and what is done with it once in a while: figures read, everything saved, the best weights kept."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from contextlib import ExitStack, nullcontext, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from tqdm import tqdm

from soli.datasets import CaptionedImages
from soli.interfaces import SoliError
from soli.model import Captioner, evaluating
from soli.printing import printable
from soli.training import processes
from soli.training.checkpoint import BEST, LAST, save_checkpoint
from soli.training.endings import resumable
from soli.training.figures import Figures
from soli.training.forecast import Forecast
from soli.training.health import stop_unless_finite
from soli.training.interruption import StopRequest
from soli.training.logging import MetricsLog
from soli.training.matching import Matching
from soli.training.progress import Progress
from soli.training.settings import Recipe
from soli.training.siamese import Anchor, Siamese

Validate = Callable[[float | None], Mapping[str, float]]
STOPPING = "stopping"  # among the figures: how many processes were asked to stop


@dataclass
class Run:
    """What all steps of a training share; and what else a checkpoint holds of the present phase."""

    model: Captioner
    data: CaptionedImages
    recipe: Recipe
    folder: Path
    accelerator: Accelerator
    siamese: Siamese | None
    matching: Matching | None
    settings: Mapping[str, object]
    log: MetricsLog
    stop: StopRequest
    streams: ExitStack  # of photographs; at the latest the end of the training closes them
    progress: Progress
    figures: Figures
    latest: dict[str, float] = field(default_factory=dict)  # figures that were read
    any_stops: bool = False  # as they said: whether any process was asked to stop
    optimizer: torch.optim.Optimizer | None = None
    anchor: Anchor | None = None
    forecast: Forecast | None = None
    is_divided: bool = False  # the encoder, among the processes

    @property
    def is_over(self) -> bool:
        """Whether runtime.max_steps steps are done."""
        return self.recipe.runtime.max_steps is not None and self.progress.step >= self.recipe.runtime.max_steps

    def read_figures(self, everything: bool = False) -> None:
        """Reads the figures that are due, or all. Raises SoliError for one that is not finite."""
        for step, read in self.figures.due(everything):
            self.any_stops = read.pop(STOPPING, 0) > 0
            stop_unless_finite(read, step, self.folder / LAST, scaled=self.accelerator.scaler is not None)
            self.latest = read
            self.progress.add_figures(read)

    def save(self) -> None:
        """Writes the checkpoint to resume from; all processes wait for it."""
        self.read_figures(everything=True)
        scaler = self.accelerator.scaler
        self.progress.scaler = scaler.state_dict() if scaler is not None else {}
        self.progress.num_logged = self.log.keep()
        if self.takes_part:
            is_main = self.accelerator.is_main_process
            save_checkpoint(self.folder / LAST, self.model, self.progress, self.optimizer, self.companions, self.settings, is_main)
        self.accelerator.wait_for_everyone()

    @property
    def takes_part(self) -> bool:
        """Whether this process has to do with validating and saving: the first one, and all that have a share of the encoder."""
        return self.accelerator.is_main_process or self.is_divided

    @property
    def companions(self) -> dict[str, Any]:
        """What else remembers something from step to step."""
        terms = {"siamese": self.siamese, "matching": self.matching}
        negatives = {f"{name}_negatives": term.negatives for name, term in terms.items() if hasattr(term and term.negatives, "state_dict")}
        return negatives if self.anchor is None else {**negatives, "anchor": self.anchor}

    def stop_is_requested(self) -> bool:
        """Whether any process was asked to stop, and all know of it."""
        return self.any_stops if self.accelerator.num_processes > 1 else self.stop.requested is not None

    def say(self, sentence: str) -> None:
        """Prints a sentence, beside the bar of progress, in the first process."""
        if self.accelerator.is_main_process:
            tqdm.write(printable(sentence))

    def validate(self, name: str, scores_of: Validate) -> None:
        """Scores the validation split in phase `name`, logs it and keeps the best weights. All modules leave in the mode they came in.

        Raises SoliError where validation.metric is not among the scores.
        """
        progress, metric = self.progress, self.recipe.validation.metric
        is_main = self.accelerator.is_main_process
        scores = None
        if self.takes_part:
            silence = nullcontext() if is_main else redirect_stdout(io.StringIO())  # one process says it all
            with evaluating(self.model), silence, resumable(self.folder):
                scores = dict(scores_of(progress.distance_at_start))
            self.log.write(progress.step, kind="validation", phase=name, epoch=progress.epoch, **scores)
            when = f"step {progress.step}" if progress.batch else f"epoch {progress.epoch}"
            headlines = [f"{key} {value:.3f}" for key, value in scores.items() if _is_headline(key, metric)]
            self.say(f"{name}, after {when}: {', '.join(headlines)}")
        scores = processes.from_main(self.accelerator, scores if is_main else None)
        if metric not in scores:
            raise SoliError(f"validation.metric={metric} is not among the scores of the validation: {', '.join(scores)}.")
        if progress.best_score is None or scores[metric] > progress.best_score:
            progress.best_score, progress.validations_without_gain = scores[metric], 0
            progress.num_logged = self.log.num_lines
            if self.takes_part:
                save_checkpoint(self.folder / BEST, self.model, progress, writes=is_main)
        else:
            progress.validations_without_gain += 1


def _is_headline(key: str, metric: str) -> bool:
    """Whether a score is worth a place on the screen: the rest is in the log."""
    return key.partition("/")[0] == metric or key in ("BLEU-4", "distinct", "distance_ratio", "i2t_R@1", "t2i_R@1")
