"""What a person reads at the end: what is there, what is missing, what to type next."""

from __future__ import annotations

import shlex
from pathlib import Path

from facts import Facts
from verifying import Verdict

from soli.printing import printable


def show(facts: Facts, out: Path, verdict: Verdict) -> None:
    """Prints it, without what names may do to a terminal."""
    print(printable(f"{facts.title} in {out}"))
    photographs = verdict.figures["photographs"]
    print(f"  {'photographs':12}{photographs['found']:>9,} of {photographs['published']:,}")
    for split, figures in verdict.figures.get("splits", {}).items():
        print(f"  {split:12}{figures['photographs']:>9,} of {figures['published']:,}, {figures['captions']:,} captions")
    if "unreadable" in verdict.figures:
        across = verdict.figures["leaks"]["byte_identical_across_splits"]
        print(f"  {'unreadable':12}{verdict.figures['unreadable']:>9,}\n  {'in two splits':12}{across:>8,}")
    for sentence in verdict.notes:
        print(printable(f"  note: {sentence}"))
    for sentence in verdict.missing:
        print(printable(f"  missing: {sentence}"))
    if verdict.is_complete:
        print(printable(f"Complete. Next:\n  {next_command(facts, out, verdict)}"))
    else:
        print("Not complete: give what is missing to the same command; what is here is kept.")


def next_command(facts: Facts, out: Path, verdict: Verdict) -> str | None:
    """A training on the folder; None where it is not complete."""
    if not verdict.is_complete:
        return None
    root = [] if out == Path("data", facts.name) else [f"dataset.root={out}"]
    side = [] if verdict.reference_side is None else [f"dataset.reference_side={verdict.reference_side}"]
    partial = ["dataset.partial=true"] if verdict.lacks_photographs else []
    settings = [f"dataset={facts.name}", *root, *side, *partial, "encoder=resnet18", f"run_dir=runs/{facts.name}"]
    return shlex.join(["python", "-m", "soli.train", *settings])
