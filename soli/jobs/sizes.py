"""Whether all photographs can be read, and every condition leaves at least a pixel of them: looked at before the long work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from soli.datasets import check_photographs
from soli.degradations import Degradation
from soli.interfaces import CaptionDataset, Example, SoliError

Size = tuple[int, int]  # (height, width)


def check_files(examples: Sequence[Example], degradations: Sequence[Degradation]) -> None:
    """Raises SoliError for photographs that cannot be read, or too small for a condition. Those that are drawn have no file."""
    _check_sizes(examples, degradations, check_photographs(examples))


def check_splits(dataset: CaptionDataset, degradations: Mapping[str, Sequence[Degradation]]) -> None:
    """As `check_files` for splits of a dataset, all at once; `degradations` are those under which each split is seen."""
    examples = {split: dataset.examples(split) for split in degradations if split in dataset.splits}
    sizes = check_photographs([example for of_split in examples.values() for example in of_split])
    for split, of_split in examples.items():
        _check_sizes(of_split, degradations[split], sizes)
        if of_split[0].path is None:  # pictures that are drawn have one size
            _check_size(dataset.read_image(of_split[0]).shape[:2], degradations[split], f"The picture {of_split[0].image_id}")


def _check_sizes(examples: Sequence[Example], degradations: Sequence[Degradation], sizes: Mapping[Path, Size]) -> None:
    """Only the smallest photograph and the narrowest one are asked: where these have pixels left, all have."""
    paths = [example.path for example in examples if example.path in sizes]
    smallest = min(paths, key=lambda path: min(sizes[path]), default=None)
    narrowest = min(paths, key=lambda path: min(sizes[path]) / max(sizes[path]), default=None)
    for path in filter(None, (smallest, narrowest)):
        _check_size(sizes[path], degradations, f"The photograph {path}")


def _check_size(size: Size, degradations: Sequence[Degradation], name: str) -> None:
    for degradation in degradations:
        try:
            degradation.size(*size)
        except SoliError as reason:
            raise SoliError(f"{name} is too small: {reason}.") from reason
