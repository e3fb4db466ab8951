"""The command that may come next, as the last line of what a command prints."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import fmean
from typing import Any, TextIO

from soli.configuration.command_text import command_text, setting
from soli.interfaces import SoliError
from soli.jobs.recipe import phases_of, selecting_metric
from soli.jobs.scored_runs import ScoredRun
from soli.jobs.starting import has_learnt_captions
from soli.json_text import read_object
from soli.printing import printable
from soli.runs import read_config


def say_next(name: str, *arguments: str, purpose: str = "", to: TextIO | None = None) -> None:
    """Prints the command of this name with its arguments, and what it would be for; `to`: where, None for stdout."""
    print(printable(f"Next: {command_text(name, *arguments)}{f'  # {purpose}' if purpose else ''}"), file=to)


def say_after_dry_run(arguments: Sequence[str]) -> None:
    """Nothing was done; without dry_run the command of these `arguments` trains."""
    print("Nothing was trained or written (dry_run=true).")
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        print("Next: the same command without dry_run=true")
    else:
        say_next("train", *(argument for argument in arguments if argument.lstrip("+").partition("=")[0] != "dry_run"))


def say_after_training(folder: Path, settings: Mapping[str, Any]) -> None:
    """The run may be evaluated: on a split that it has, and by what it has learnt."""
    splits: Any = {"test": None}
    with suppress(OSError, ValueError, KeyError):
        splits = read_object(folder / "data.json")["splits"]
    arguments = [] if "test" in splits else ["split=val"]
    arguments += ["metrics=retrieval"] if selecting_metric(settings, phases_of(settings)) == "rsum" else []
    say_next("evaluate", setting("run", folder), *arguments)


def say_after_evaluation(folder: Path, trained: Mapping[str, Any]) -> None:
    """A run that went on from another captioner is to be seen beside it; else photographs may be captioned, or matched."""
    start = trained["init_from"]
    if start is not None and has_learnt_captions(trained) and _captions(Path(start), trained["dataset"]):
        say_next("evaluate", setting("runs", start, folder), purpose="beside the run from which it started")
    else:
        _say_use(folder, trained)


def say_after_comparison(variants: Mapping[str, Sequence[ScoredRun]]) -> None:
    """The run with the highest score, averaged over conditions, may be used."""
    scored = [member for members in variants.values() for member in members]
    best = max(scored, key=lambda one: fmean(row[one.results["headline"]] for row in one.results["rows"]))
    _say_use(best.plan.folder, best.plan.trained, f"the highest {best.results['headline']} on average")


def _captions(folder: Path, dataset: Mapping[str, Any]) -> bool:
    """Whether a run is still there, and has learnt captions, of this dataset."""
    try:
        trained = read_config(folder)
        return trained["dataset"] == dataset and has_learnt_captions(trained)
    except (SoliError, OSError):
        return False


def _say_use(folder: Path, trained: Mapping[str, Any], why: str = "") -> None:
    if has_learnt_captions(trained):
        say_next("caption", setting("run", folder), "images=<photographs>", purpose=why)
    else:
        print(printable(f"Next: soli.load({str(folder)!r}).match(photographs, captions), in Python"))
