"""What a run's data were, in a few digests: of each split its names, its captions and its photographs. Where two differ, so do the data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from soli.datasets.photograph_files import END, file_end, file_size
from soli.interfaces import CaptionDataset, Example

AFFORDABLE = 2**30  # bytes of photographs in a split, up to which all of them are read: two seconds, from a quick disk
COVERS = {
    "names": "the photographs' names in their order",
    "captions": "all captions, photograph by photograph in that order",
    "photographs": f"of each file its size, and by `read` its whole content or its last {END} bytes; of drawn pictures the pixels",
}
WORDS = {"names": "names or order of the photographs", "captions": "captions", "photographs": "content of the photographs"}


def data_fingerprint(dataset: CaptionDataset, contents_of: Sequence[str] | None = None) -> dict[str, Any]:
    """Of each split of `dataset` how many photographs it has and the digests that COVERS describes, ready for JSON.

    Photographs are read as wholes in splits of up to 1 GiB, of larger ones only the ends; `contents_of` names the splits whose photographs
    are looked at (None: all). Raises SoliError for a photograph that cannot be read.
    """
    read = dataset.splits if contents_of is None else contents_of
    splits = {split: _of_split(dataset, dataset.examples(split), split in read) for split in dataset.splits}
    return {"covers": COVERS, "splits": splits}


def data_differences(recorded: Any, found: Mapping[str, Any]) -> list[str] | None:
    """What differs between the fingerprint of a run and that of data, a phrase for each split; None without a fingerprint of the run.

    `recorded` may be anything that a damaged or older file holds. A split that only one of them has counts; what `found` did not look at
    does not.
    """
    there = recorded.get("splits") if isinstance(recorded, Mapping) else None
    if not isinstance(there, Mapping) or not all(isinstance(split, Mapping) for split in there.values()):
        return None
    here, phrases = found["splits"], []
    for split in dict.fromkeys([*map(str, there), *here]):
        if split not in here or split not in there:
            phrases.append(f"{split}: {'only here' if split in here else 'only there'}")
        elif different := _different(there[split], here[split]):
            phrases.append(f"{split}: {different}")
    return phrases


def _different(there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    if there.get("count") != here["count"]:
        return f"{there.get('count')} photographs there, {here['count']} here"
    return " and ".join(phrase for part, phrase in WORDS.items() if part in here and there.get(part) != here[part])


def _of_split(dataset: CaptionDataset, examples: Sequence[Example], looks_at_photographs: bool) -> dict[str, Any]:
    described = {
        "count": len(examples),
        "names": _digest(example.image_id for example in examples),
        "captions": _digest(json.dumps(example.captions) for example in examples),
    }
    if not looks_at_photographs:
        return described
    sizes = [file_size(example) for example in examples]
    whole = sum(sizes) <= AFFORDABLE
    contents = (dataset.fingerprint(example) if whole or example.path is None else file_end(example) for example in examples)
    photographs = _digest(f"{size} {content}" for size, content in zip(sizes, contents, strict=True))
    return {**described, "photographs": photographs, "bytes": sum(sizes), "read": "whole" if whole else "ends"}


def _digest(items: Iterable[str]) -> str:
    """Of a list of texts: 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for item in items:
        digest.update(json.dumps(item).encode() + b"\n")
    return digest.hexdigest()
