"""Whether data are those that a run was trained on, and of the size that is said: one sentence where not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from soli.datasets import about_shrunk, data_differences, missing_reference_side
from soli.interfaces import CaptionDataset
from soli.json_text import read_object
from soli.printing import printable, short


def say_of_data(run: str | Path, found: Mapping[str, Any]) -> None:
    """Prints a sentence where `found`, a fingerprint (soli/datasets/fingerprint.py), is not that of the run; never more than a warning."""
    different = data_differences(_recorded(Path(run)), found)
    if different is None:
        print(f"The run {run} does not say what data it was trained on (no fingerprint in its data.json): these may be others.")
    elif different:
        print(printable(f"The data are not those that the run {run} was trained on ({short('; '.join(different), 1000)})."))


def say_if_shrunk(dataset: CaptionDataset, indent: str = "") -> None:
    """Prints a sentence where the photographs of a known dataset are smaller than its originals, and the user did not say so."""
    longer_side = missing_reference_side(dataset)
    if longer_side is not None:
        print(f"{indent}{about_shrunk(longer_side)}")


def _recorded(folder: Path) -> Any:
    """The fingerprint in the run's data.json; None without one, as in older runs and damaged files."""
    try:
        return read_object(folder / "data.json")["fingerprint"]
    except (OSError, ValueError, KeyError):
        return None
