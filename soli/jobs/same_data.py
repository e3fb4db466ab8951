"""Whether data are those that a run was trained on: one sentence where they are not, or where the run does not say."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from soli.datasets import data_differences
from soli.json_text import read_object
from soli.printing import printable, short


def say_of_data(run: str | Path, found: Mapping[str, Any]) -> None:
    """Prints a sentence where `found`, a fingerprint (soli/datasets/fingerprint.py), is not that of the run; never more than a warning."""
    different = data_differences(_recorded(Path(run)), found)
    if different is None:
        print(f"The run {run} does not say what data it was trained on (no fingerprint in its data.json): these may be others.")
    elif different:
        print(printable(f"The data are not those that the run {run} was trained on ({short('; '.join(different), 1000)})."))


def _recorded(folder: Path) -> Any:
    """The fingerprint in the run's data.json; None without one, as in older runs and damaged files."""
    try:
        return read_object(folder / "data.json")["fingerprint"]
    except (OSError, ValueError, KeyError):
        return None
