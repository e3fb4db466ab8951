"""From the comparisons of soli.evaluate to the tables that are read: scores by condition, differences with their intervals, costs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from soli.evaluation.paper import CAUTION
from soli.evaluation.tables import csv_table, markdown_table
from soli.evaluation.writing import write_whole
from soli.jobs.compared_runs import DEGRADED

SCORES = ("CIDEr", "BLEU-4")  # those of which tables for people are made; the CSV has all
Comparison = Mapping[str, Any]  # a comparison.json


def read(folder: Path) -> Comparison:
    """The comparison that soli.evaluate has written into `folder`."""
    return json.loads((folder / "comparison.json").read_text(encoding="utf-8"))


def write_tables(path: Path, title: str, seen: Comparison, unseen: Comparison | None, controls: Mapping[str, Comparison]) -> None:
    """<path>.md for people and <path>.csv with every number.

    `seen`: at the conditions of training; `unseen`: at others; `controls`: comparisons with other rows, by the name of these.
    """
    parts = [f"# {title}", ""]
    protocol = seen["protocol"]
    number = _num_seeds(seen)
    over = "one seed" if number == 1 else f"mean (standard deviation) over {number} seeds"
    for score in SCORES:
        parts += [f"## {score} at the conditions of training: {over}", ""]
        parts += [markdown_table(score_rows(seen, score), protocol)]
    parts += ["## What it costs (on the machine at hand), and how far embeddings move", "", markdown_table(cost_rows(seen), protocol)]
    if unseen is not None:
        parts += ["## CIDEr at conditions that training did not see", "", markdown_table(score_rows(unseen, "CIDEr"), unseen["protocol"])]
    first = next(iter(seen["variants"]))
    for name, comparison in {first: seen, **controls}.items():
        parts += [f"## CIDEr: difference from {name}, and its 95 % interval (paired bootstrap over photographs, not over seeds)", ""]
        parts += [markdown_table(difference_rows(comparison, "CIDEr"), comparison["protocol"])]
    if "paper" in seen:
        parts += ["## The paper's figures, and ours of the same kind", "", markdown_table(seen["paper"], CAUTION)]
    write_whole(path.with_suffix(".md"), "\n".join(parts))
    everything = {first: seen, **({"unseen": unseen} if unseen else {}), **controls}
    write_whole(path.with_suffix(".csv"), csv_table([row for comparison in everything.values() for row in all_rows(comparison)]))


def score_rows(comparison: Comparison, score: str) -> list[dict[str, Any]]:
    """A row per variant, a column per condition: mean and, of several seeds, (standard deviation)."""
    return [
        {"variant": name, **{condition: _spread(scores[score]) for condition, scores in variant["scores"].items()}}
        for name, variant in comparison["variants"].items()
    ]


def cost_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """A row per variant: the ratio of distances, minutes of training and what it has seen, what a caption costs."""
    rows = []
    for name, variant in comparison["variants"].items():
        cost = variant["cost"]
        rows.append(
            {
                "variant": name,
                "ratio": None if variant["ratio"] is None else _spread(variant["ratio"]),
                "training min": _minutes(cost.get("training_seconds")),
                "photographs seen": None if "training_photographs" not in cost else round(cost["training_photographs"]),
                "parameters (M)": None if "parameters" not in cost else round(cost["parameters"] / 1e6, 2),
            }
        )
    return rows


def difference_rows(comparison: Comparison, score: str) -> list[dict[str, Any]]:
    """A row per variant but the first: its difference from the first at the original and on average over the others."""
    names = [name for name in ("original", DEGRADED) if name in next(iter(comparison["variants"].values()))["scores"]]
    return [
        {"variant": name, **{condition: _interval(variant["differences"][condition][score]) for condition in names}}
        for name, variant in list(comparison["variants"].items())[1:]
    ]


def all_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """A row per variant, condition and score, in full precision, signed."""
    first = next(iter(comparison["variants"]))
    return [
        {
            "variant": name,
            "condition": condition,
            "score": score,
            **spread,
            "against": first if variant["differences"] else None,
            **variant["differences"].get(condition, {}).get(score, {"value": None, "low": None, "high": None, "p": None}),
            "signature": f"{comparison['protocol']}|condition:{condition}",
        }
        for name, variant in comparison["variants"].items()
        for condition, scores in variant["scores"].items()
        for score, spread in scores.items()
    ]


def _num_seeds(comparison: Comparison) -> int:
    return len(next(iter(comparison["variants"].values()))["runs"])


def _spread(spread: Mapping[str, Any]) -> str:
    return f"{spread['mean']:.3f}" if spread["std"] is None else f"{spread['mean']:.3f} ({spread['std']:.3f})"


def _interval(difference: Mapping[str, float]) -> str:
    return f"{difference['value']:+.3f} [{difference['low']:+.3f}, {difference['high']:+.3f}]"


def _minutes(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds / 60, 1)
