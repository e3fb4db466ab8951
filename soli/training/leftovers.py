"""What a training that was killed may have left in its run folder, and whether the next one can go on from it."""

from __future__ import annotations

from pathlib import Path

from soli.interfaces import SoliError
from soli.training.checkpoint import BEST, LAST, read_progress

UNFINISHED = ("last.partial", "best.partial", "metrics.jsonl.partial", "metrics.partial")  # not yet moved into place; the last of old


def remove_unfinished(folder: Path) -> None:
    """Removes what was written halfway. For a process that trains there alone."""
    for name in UNFINISHED:
        (folder / name).unlink(missing_ok=True)


def check_last(folder: Path) -> None:
    """Raises SoliError where the run has gone beyond its first save, and the checkpoint to resume from is gone.

    A training that is killed between its first best and its first last checkpoint simply begins again: nothing before it is lost.
    """
    if (folder / LAST).exists() or not (folder / BEST).exists():
        return
    reached = read_progress(folder / BEST)
    if reached.phase > 0 or reached.epoch > 1:
        raise SoliError(
            f"{folder / LAST}, from which a run is resumed, is missing, and {folder / BEST} was saved after step {reached.step}: "
            f"training anew would lose it. Put {LAST} back, or start a new run from the best weights with init_from={folder}."
        )
