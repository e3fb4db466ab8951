"""What a training that was killed may have left in its run folder, and whether the next one can go on from it."""

from __future__ import annotations

from pathlib import Path

from soli.interfaces import SoliError
from soli.training.checkpoint import BEST, LAST, read_progress
from soli.training.progress import Progress

UNFINISHED = ("last.partial", "best.partial", "metrics.jsonl.partial", "metrics.partial")  # not yet moved into place; the last of old


def is_finished(folder: Path) -> bool:
    """Whether the run of this folder has come to its end."""
    return (folder / LAST).is_file() and read_progress(folder / LAST).finished


def remove_unfinished(folder: Path) -> None:
    """Removes what was written halfway. For a process that trains there alone."""
    for name in UNFINISHED:
        (folder / name).unlink(missing_ok=True)


def check_last(folder: Path) -> None:
    """Raises SoliError where the checkpoint to resume from is gone, and the run had saved one, as its best checkpoint or its log tells.

    A training that is killed between its first best and its first last checkpoint simply begins again: nothing before it is lost.
    """
    if (folder / LAST).exists() or not (folder / BEST).exists():
        return
    reached = read_progress(folder / BEST)
    if reached.phase > 0 or reached.epoch > 1 or _num_validations(folder / "metrics.jsonl") > 1:  # it was saved after the first one
        raise SoliError(
            f"{folder / LAST}, from which a run is resumed, is missing, and {folder / BEST} was saved after step {reached.step}: "
            f"training anew would lose it. Put {LAST} back, or start a new run from the best weights with init_from={folder}."
        )


def forget_lost_best(folder: Path, progress: Progress, says: bool = True) -> None:
    """Where the best checkpoint of the phase is gone, `progress` knows of none any more, and the next validation saves one."""
    if progress.best_score is None or (folder / BEST).exists():
        return
    if says:
        print(f"{folder / BEST}, with a validation score of {progress.best_score:.3f}, is missing: the next validation saves another one.")
    progress.best_score, progress.validations_without_gain = None, 0


def _num_validations(log: Path) -> int:
    """Of those in the log; 0 without a log, and of lines that are spoilt."""
    try:
        lines = log.read_bytes().split(b"\n")
    except OSError:
        return 0
    return sum(line.startswith(b"{") and b'"kind": "validation"' in line for line in lines)
