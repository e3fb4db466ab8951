"""Sentences on what a run was trained on and what is at hand now: other data, shrunken copies, a training that is not at its end."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from soli.datasets import data_differences, data_fingerprint, missing_reference_side
from soli.interfaces import SoliError
from soli.jobs.captioned_runs import Plan
from soli.json_text import read_object
from soli.printing import printable, short
from soli.runs import read_config
from soli.training.checkpoint import LAST, read_progress


def say_of_data(run: str | Path, found: Mapping[str, Any]) -> None:
    """Prints a sentence where `found`, a fingerprint (soli/datasets/fingerprint.py), is not that of the run; never more than a warning."""
    different = data_differences(_recorded(Path(run)), found)
    if different is None:
        print(f"The run {run} does not say what data it was trained on (no fingerprint in its data.json): these may be others.")
    elif different:
        print(printable(f"The data are not those that the run {run} was trained on ({short('; '.join(different), 1000)})."))


def say_of_runs(plans: Iterable[Plan], limit: int | None) -> None:
    """What is to be known before runs are evaluated: those that have not come to their end, and what is said of their data.

    Photographs are compared of the split that is evaluated; with a `limit`, dataset.limit of the command, there are others by intention.
    """
    found: dict[str, Any] = {}
    for plan in plans:
        _say_whether_finished(plan.folder)
        data = json.dumps(plan.trained["dataset"], sort_keys=True)  # what the command changes of it is the same for all
        with contextlib.suppress(SoliError):  # photographs that cannot be read are all named later
            if data not in found:
                found[data] = data_fingerprint(plan.dataset, [plan.split]) if limit is None else None
                if missing_reference_side(plan.dataset) is not None:
                    print("Ratios are of these copies, as in training, not of the larger originals (dataset.reference_side was not given).")
                if limit is not None:
                    print(f"No more than the first {limit} photographs of {plan.split} are evaluated (dataset.limit).")
            if limit is None:
                say_of_data(plan.folder, found[data])


def _say_whether_finished(folder: Path) -> None:
    """A run that is still training, or was interrupted, is evaluated as far as it is."""
    with contextlib.suppress(SoliError):
        if (folder / LAST).is_file() and not (progress := read_progress(folder / LAST)).finished:
            ended = read_config(folder)["runtime"]["max_steps"] == progress.step
            how = "was ended by runtime.max_steps" if ended else "has not come to its end"
            print(f"The run {printable(folder)} {how}: this is of step {progress.step}, or before.")


def _recorded(folder: Path) -> Any:
    """The fingerprint in the run's data.json; None without one, as in older runs and damaged files."""
    try:
        return read_object(folder / "data.json")["fingerprint"]
    except (OSError, ValueError, KeyError):
        return None
