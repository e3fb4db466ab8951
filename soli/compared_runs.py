"""Several runs side by side: mean and spread over seeds, differences between variants with their intervals, and what each costs."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from soli.evaluation.comparison import Spread, compare
from soli.interfaces import SoliError
from soli.scored_runs import Scored

APART = ("seed", "run_dir", "resume", "init_from", "runtime", "logging")  # what runs of one variant may differ in


def groups_of(runs: Sequence[str] | Mapping[str, Sequence[str]], trained: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    """Runs by variant: as named by the user, or those together whose configs (`trained`, by run) differ only in the seed and the like.

    A list's groups are called by their first folder, without the number of its seed. Raises SoliError for a run that is given twice.
    """
    given = list(runs) if not isinstance(runs, Mapping) else [run for members in runs.values() for run in members]
    twice = sorted({run for run in given if given.count(run) > 1})
    if twice:
        raise SoliError(f"runs has {', '.join(twice)} more than once: give every run once.")
    if isinstance(runs, Mapping):
        return {name: list(members) for name, members in runs.items()}
    groups: dict[str, list[str]] = {}
    for run in runs:
        alike = json.dumps({key: value for key, value in trained[run].items() if key not in APART}, sort_keys=True)
        groups.setdefault(alike, []).append(run)
    named: dict[str, list[str]] = {}
    for members in groups.values():
        folder = Path(members[0]).resolve().name
        name = re.sub(r"[-_.]?(seed|s)?\d+$", "", folder) if len(members) > 1 else folder
        named[name if name and name not in named else folder] = members
    return named


def compare_runs(groups: Mapping[str, Sequence[Scored]]) -> dict[str, Any]:
    """Figures of comparison.json; the differences are those from the first variant. Raises SoliError where runs do not compare.

    For each variant: `runs`, `scores` (by condition and score: mean, std and number of seeds), `ratio` of distances (as a score), `cost`
    (means over runs), and `differences` (by condition and score: value, low, high, p).
    """
    everything = [scored for members in groups.values() for scored in members]
    _check_alike(everything)
    first, *_ = groups.values()
    variants = {}
    for name, members in groups.items():
        conditions = [row["condition"] for row in members[0].results["rows"]]
        variants[name] = {
            "runs": [str(scored.plan.folder) for scored in members],
            "scores": {
                condition: {score: asdict(Spread.of(values)) for score, values in _values(members, condition).items()}
                for condition in conditions
            },
            "ratio": _spread([(scored.results["embeddings"] or {}).get("ratio") for scored in members]),
            "cost": _mean_cost([scored.results["cost"] for scored in members]),
            "differences": {} if members is first else {condition: _differences(members, first, condition) for condition in conditions},
        }
    results = everything[0].results
    return {"protocol": results["protocol"], "headline": results["headline"], "variants": variants, "versions": results["versions"]}


def comparison_rows(comparison: Mapping[str, Any], score: str) -> list[dict[str, Any]]:
    """A row per condition and variant: the score's mean and spread over seeds, and how it differs from the first variant's."""
    rows = []
    variants = comparison["variants"]
    for condition in next(iter(variants.values()))["scores"]:
        for name, variant in variants.items():
            spread = variant["scores"][condition][score]
            difference = variant["differences"].get(condition, {}).get(score)
            interval = None if difference is None else f"{difference['low']:+.3f} to {difference['high']:+.3f}"
            rows.append(
                {
                    "condition": condition,
                    "variant": name,
                    score: spread["mean"],
                    "std": spread["std"],
                    "seeds": spread["number"],
                    "difference": None if difference is None else f"{difference['value']:+.3f}",
                    "95 % interval": interval,
                    "p": None if difference is None else difference["p"],
                }
            )
    return rows


def cost_rows(comparison: Mapping[str, Any], score: str) -> list[dict[str, Any]]:
    """A row per variant: the mean of a score at the original and at the other conditions, beside what the variant costs."""
    rows = []
    for name, variant in comparison["variants"].items():
        means = {condition: scores[score]["mean"] for condition, scores in variant["scores"].items()}
        degraded = [value for condition, value in means.items() if condition != "original"]
        cost = variant["cost"]
        rows.append(
            {
                "variant": name,
                f"{score} original": means.get("original"),
                f"{score} degraded": sum(degraded) / len(degraded) if degraded else None,
                "ratio": (variant["ratio"] or {}).get("mean"),
                "parameters (M)": _scaled(cost.get("parameters"), 1e6),
                "GFLOPs a caption": _scaled(_sum(cost, "encoder_flops", "decoder_flops"), 1e9),
                "ms a caption": cost.get("milliseconds"),
                "peak MB": _scaled(cost.get("peak_bytes"), 1e6),
                "training min": _scaled(cost.get("training_seconds"), 60),
                "photographs seen": cost.get("training_photographs"),
            }
        )
    return rows


def _check_alike(everything: Sequence[Scored]) -> None:
    """Protocols must be the same, and the photographs too."""
    first = everything[0]
    for other in everything[1:]:
        for what, ours, theirs in (
            ("protocols", first.results["protocol"], other.results["protocol"]),
            ("captions of photographs", first.plan.origin["data"], other.plan.origin["data"]),
            ("conditions", first.plan.origin["conditions"], other.plan.origin["conditions"]),
        ):
            if ours != theirs:
                raise SoliError(
                    f"{first.plan.folder} and {other.plan.folder} do not compare, for their {what} differ: {ours} against {theirs}. "
                    "Give what they share, such as conditions=[...], generation.num_beams=3, dataset.root=..., for all of them."
                )


def _values(members: Sequence[Scored], condition: str) -> dict[str, list[float]]:
    scores = [scored.statistics[condition].scores() for scored in members]
    return {name: [score[name] for score in scores] for name in scores[0] if all(name in score for score in scores)}


def _differences(members: Sequence[Scored], first: Sequence[Scored], condition: str) -> dict[str, Any]:
    found = compare([scored.statistics[condition] for scored in members], [scored.statistics[condition] for scored in first])
    return {score: asdict(difference) for score, difference in found.items()}


def _spread(values: Sequence[float | None]) -> dict[str, Any] | None:
    known = [value for value in values if value is not None]
    return asdict(Spread.of(known)) if known else None


def _mean_cost(costs: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Means of the figures that all runs have."""
    numbers = [name for name, value in costs[0].items() if isinstance(value, int | float)]
    return {name: sum(cost[name] for cost in costs) / len(costs) for name in numbers if all(name in cost for cost in costs)}


def _sum(cost: Mapping[str, float], *names: str) -> float | None:
    return sum(cost[name] for name in names) if all(name in cost for name in names) else None


def _scaled(value: float | None, unit: float) -> float | None:
    return None if value is None else value / unit
