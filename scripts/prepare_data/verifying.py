"""Whether a prepared folder is whole: read by soli's own readers, counted, every photograph looked at, the splits compared."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from facts import Facts
from recognising import Found

from soli.datasets import Flickr8kDataset, KarpathyDataset, find_leaks
from soli.datasets.images import about_unreadable, unreadable
from soli.datasets.photographs import PhotographDataset
from soli.datasets.records import counted, read_text
from soli.datasets.shrunk import about_shrunk, missing_reference_side
from soli.interfaces import Example, SoliError
from soli.json_text import parse_json

RESULTS_LINE = re.compile(r"\s*(\S+\.jpg)\s*\|\s*(\d+)\s*(\|?)")


@dataclass
class Verdict:
    """`missing` sentences say why the folder is not whole, `notes` what else to know; `figures` are for the JSON report."""

    missing: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    reference_side: int | None = None  # what dataset.reference_side must be: the photographs were shrunk
    lacks_photographs: bool = False  # that the caption file names: dataset.partial must be true

    @property
    def is_complete(self) -> bool:
        return not self.missing


def verify(out: Path, found: Found, facts: Facts, partial: bool) -> Verdict:
    """`found` is what lies in `out`. `partial`: numbers other than the published ones are only noted."""
    verdict = Verdict()
    verdict.missing += _missing_parts(found, facts)
    verdict.figures["photographs"] = {"found": len(found.photographs), "published": facts.photographs}
    if verdict.missing:
        return verdict
    try:
        dataset = _read(out, facts)
    except SoliError as error:
        verdict.missing.append(str(error))
        return verdict
    if dataset.absent and not partial:
        number = counted(len(dataset.absent), "photograph")
        verdict.missing.append(
            f"{dataset.source} names {number} without a file in {dataset.image_folder}; the first: {dataset.absent[0]}. Give the missing "
            "ones to the same command, or --partial to go on without them."
        )
        return verdict
    verdict.lacks_photographs = bool(dataset.absent)
    verdict.figures["captions_from"] = dataset.source.name
    verdict.notes += dataset.notices
    _count(dataset, found, facts, verdict, partial)
    _look_at_photographs(dataset, found, verdict)
    verdict.reference_side = missing_reference_side(dataset)
    if verdict.reference_side is not None:
        verdict.notes.append(about_shrunk(verdict.reference_side))
    return verdict


def _read(out: Path, facts: Facts) -> PhotographDataset:
    """What is there, whatever is missing."""
    if facts.name == "flickr8k":
        return Flickr8kDataset(str(out), partial=True)
    return KarpathyDataset(facts.name, str(out), partial=True)


def _missing_parts(found: Found, facts: Facts) -> list[str]:
    kinds = set(found.texts)
    missing = []
    if not found.photographs:
        missing.append(f"There are no photographs. They are had as {facts.where['photographs']}.")
    if not kinds & {"karpathy", "token", "kaggle"}:
        missing.append(f"There are no captions. They are had as {facts.where['captions']}.")
    elif "karpathy" not in kinds and not {"train", "val", "test"} <= kinds:
        missing.append(f"There are captions, but nothing says which photographs train and which test: {facts.where['splits']}.")
    return missing


def _count(dataset: PhotographDataset, found: Found, facts: Facts, verdict: Verdict, partial: bool) -> None:
    splits = {split: dataset.examples(split) if split in dataset.splits else [] for split in facts.splits}
    counts = {split: len(examples) for split, examples in splits.items()}
    captions = {split: sum(len(example.captions) for example in examples) for split, examples in splits.items()}
    verdict.figures["splits"] = {
        split: {
            "photographs": counts[split],
            "published": facts.splits[split],
            "captions": captions[split],
            "published_captions": facts.captions[split],
        }
        for split in counts
    }
    odd = [
        f"the split {split} has {counts[split]:,} photographs, not {facts.splits[split]:,}"
        for split in counts
        if counts[split] != facts.splits[split]
    ]
    if odd:
        sentence = f"By {dataset.source.name}, {'; '.join(odd)}."
        (verdict.notes if partial else verdict.missing).append(
            sentence if partial else f"{sentence} The file is not the published one: download it again, or give --partial if that is meant."
        )
    elif captions != dict(facts.captions):
        numbers = ", ".join(f"{split} {number:,} (published: {facts.captions[split]:,})" for split, number in captions.items())
        verdict.notes.append(f"The numbers of captions are not the published ones: {numbers}.")
    if partial and (empty := [split for split in ("train", "val") if not counts[split]]):
        verdict.missing.append(f"No photograph of {' and '.join(empty)} is there, and training needs some of both: give them, too.")
    if len(found.photographs) != facts.photographs:
        verdict.notes.append(f"There are {counted(len(found.photographs), 'photograph')}; the archives have {facts.photographs:,}.")


def _look_at_photographs(dataset: PhotographDataset, found: Found, verdict: Verdict) -> None:
    examples = [example for split in dataset.splits for example in dataset.examples(split)]
    used = {example.path.name for example in examples}
    unused = [Example(name, (), places[0]) for name, places in found.photographs.items() if name not in used]
    looked_at = [*examples, *unused]
    complaints = unreadable(looked_at)
    verdict.figures["unreadable"] = len(complaints)
    if complaints:
        verdict.missing.append(about_unreadable(complaints, len({example.path for example in looked_at})))
    leaks = find_leaks(dataset)
    verdict.figures["leaks"] = {name: leak["count"] for name, leak in leaks.items()}
    across, within = leaks["byte_identical_across_splits"], leaks["byte_identical_within_a_split"]
    for leak, where in ((across, "in two splits"), (within, "twice in one split")):
        if leak["count"]:
            verdict.notes.append(
                f"{counted(leak['count'], 'photograph')} {where}, byte for byte, under different names; the first: "
                f"{', '.join(leak['examples'][0])}."
            )


def about_extras(paths: list[Path]) -> list[str]:
    """Sentences about caption files that soli does not need."""
    return [f"{path.name} has {_contents(path)}; it has no splits, and is not needed." for path in dict.fromkeys(paths)]


def _contents(path: Path) -> str:
    if path.suffix.lower() == ".json":
        text = read_text(path)
        try:
            entries = parse_json(text)["annotations"]
            names, number, mended = {entry["image_id"] for entry in entries}, len(entries), 0
        except (ValueError, KeyError, TypeError) as error:
            raise SoliError(f"{path} is damaged: it is no file of COCO's captions. Download it again.") from error
    else:
        lines = [line for line in read_text(path).splitlines() if line.strip()]
        found = [match for line in lines if (match := RESULTS_LINE.match(line))]
        names, number, mended = {match[1] for match in found}, len(found), sum(not match[3] for match in found)
        if not found:  # not Kaggle's results.csv: a file of tokens or of commas
            names, number = {re.split(r"[#,\t]", line, maxsplit=1)[0] for line in lines}, len(lines)
    broken = f" ({counted(mended, 'row')} without a separator, read all the same)" if mended else ""
    return f"{counted(number, 'caption')} of {counted(len(names), 'photograph')}{broken}"
