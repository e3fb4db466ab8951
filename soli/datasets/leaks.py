"""Leaks between the splits: identical photographs, photographs in two splits, training captions among the test references."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, TypeVar

from soli.datasets.photograph_files import file_end, file_size
from soli.interfaces import CaptionDataset, Example

MAX_NAMED = 5

Member = tuple[str, Example]  # split, example
Found = dict[str, Any]
Item = TypeVar("Item")


def find_leaks(dataset: CaptionDataset) -> dict[str, Found]:
    """Counts, with the first few names, of what the splits share; ready for JSON.

    Each entry has `count` and `examples`. Identical photographs are counted in groups: files with the same bytes under different names.
    Captions are compared by their words, without case and punctuation. Raises SoliError for a photograph without a file.
    """
    members = [(split, example) for split in dataset.splits for example in dataset.examples(split)]
    groups = _identical(dataset, members)
    across = [group for group in groups if len({split for split, _ in group}) > 1]
    within = [group for group in groups if len({split for split, _ in group}) == 1]
    return {
        "images_in_two_splits": _in_two_splits(members),
        "byte_identical_across_splits": _found([_names(group) for group in across]),
        "byte_identical_within_a_split": _found([_names(group) for group in within]),
        "training_captions_in_test_references": _shared_captions(members),
    }


def _in_two_splits(members: Sequence[Member]) -> Found:
    splits = defaultdict(set)
    for split, example in members:
        splits[example.image_id].add(split)
    return _found([image_id for image_id, found in splits.items() if len(found) > 1])


def _shared_captions(members: Sequence[Member]) -> Found:
    """The captions of the test split that are, word for word, captions of training photographs."""
    seen = {_words(caption) for split, example in members if split == "train" for caption in example.captions}
    return _found([caption for split, example in members if split == "test" for caption in example.captions if _words(caption) in seen])


def _words(caption: str) -> str:
    return " ".join(re.findall(r"\w+", caption.lower()))


def _identical(dataset: CaptionDataset, members: Sequence[Member]) -> list[list[Member]]:
    """Groups of different photographs with the same fingerprint. Only files of equal size and with equal ends are read as a whole."""
    groups = [list({example.image_id: (split, example) for split, example in members}.values())]
    keys: tuple[Callable[[Example], Hashable], ...] = (file_size, file_end, dataset.fingerprint)
    for key in keys:
        groups = [part for group in groups for part in _parts(group, lambda member, key=key: key(member[1]))]
    return groups


def _parts(items: Iterable[Item], key: Callable[[Item], Hashable]) -> list[list[Item]]:
    """Items with equal keys, where there are at least two."""
    parts = defaultdict(list)
    for item in items:
        parts[key(item)].append(item)
    return [part for part in parts.values() if len(part) > 1]


def _names(group: Sequence[Member]) -> list[str]:
    return [f"{split}: {example.image_id}" for split, example in group]


def _found(items: Sequence[Any]) -> Found:
    return {"count": len(items), "examples": list(items[:MAX_NAMED])}
