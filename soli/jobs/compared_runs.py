"""Several runs side by side: mean and spread over seeds, differences between variants with their intervals, and what each costs."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any

from tqdm import tqdm

from soli.evaluation.comparison import Spread, compare
from soli.evaluation.presets import RETRIEVAL
from soli.interfaces import SoliError
from soli.jobs.captioned_runs import Plan
from soli.jobs.scored_runs import ScoredRun, protocol_of
from soli.printing import printable

DEGRADED = "mean of degraded"  # the mean over all conditions but the original, where there are several
MAY_DIFFER = ("seed", "run_dir", "resume", "init_from", "runtime", "logging")  # between runs of one variant


def check_alike(plans: Sequence[Plan], metrics: Sequence[str]) -> None:
    """Raises SoliError unless the runs' scores will compare: the same protocol, photographs, captions and conditions."""
    first, *others = plans
    for other in others:
        for what, ours, theirs in (
            ("protocols", protocol_of(first, metrics), protocol_of(other, metrics)),
            ("photographs or captions", first.origin["data"], other.origin["data"]),
            ("conditions", first.origin["conditions"], other.origin["conditions"]),
        ):
            if ours != theirs:
                decoding = "" if metrics == RETRIEVAL else "generation.num_beams=..., "
                raise SoliError(
                    f"{first.folder} and {other.folder} do not compare, for their {what} differ: {_apart(ours, theirs)}. Give all of them "
                    f"the same, by conditions=[...], {decoding}dataset.root=..., dataset.limit=..."
                )


def _apart(ours: Any, theirs: Any) -> str:
    """Those entries of two protocols that differ; other things whole."""
    if isinstance(ours, str) and "|" in ours:
        pairs = zip(ours.split("|"), theirs.split("|"), strict=False)
        return ", ".join(f"{one} against {other}" for one, other in pairs if one != other)
    return f"{ours} against {theirs}"


def groups_of(runs: Sequence[str] | Mapping[str, Sequence[str]], trained: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    """Runs by variant: as named by the user, or those together whose configs (`trained`, by run) differ only in the seed and the like.

    A list's groups are called by their first folder, without the number of its seed, or by its whole path where names repeat.
    """
    if isinstance(runs, Mapping):
        return {name: list(members) for name, members in runs.items()}
    groups: dict[str, list[str]] = {}
    for run in runs:
        alike = json.dumps({key: value for key, value in trained[run].items() if key not in MAY_DIFFER}, sort_keys=True)
        groups.setdefault(alike, []).append(run)
    named: dict[str, list[str]] = {}
    for members in groups.values():
        folder = Path(members[0]).resolve().name
        variant = re.sub(r"[-_.]?(seed|s)?\d+$", "", folder) if len(members) > 1 else folder
        name = next(name for name in (variant, folder, members[0]) if name and name not in named)
        named[name] = members
    return named


def compare_runs(groups: Mapping[str, Sequence[ScoredRun]]) -> dict[str, Any]:
    """Figures of comparison.json; the differences are those from the first variant.

    For each variant: `runs`, `scores` (by condition and score: mean, std and number of seeds), `ratio` of distances (as a score), `cost`
    (means over runs), and `differences` (by condition and score: value, low, high, p). The mean of degraded conditions stands among the
    conditions.
    """
    first, *_ = groups.values()
    variants = {}
    for name, members in groups.items():
        variants[name] = {
            "runs": [str(scored.plan.folder) for scored in members],
            "scores": {
                name: {score: asdict(Spread.of(values)) for score, values in _values(members, conditions).items()}
                for name, conditions in _averaged(members[0]).items()
            },
            "ratio": _spread([(scored.results["embeddings"] or {}).get("ratio") for scored in members]),
            "cost": _mean_cost([scored.results["cost"] for scored in members]),
            "differences": {} if members is first else _differences(name, members, first),
        }
    results = first[0].results
    return {"protocol": results["protocol"], "headline": results["headline"], "variants": variants, "versions": results["versions"]}


def comparison_rows(comparison: Mapping[str, Any], score: str) -> list[dict[str, Any]]:
    """A row per condition and variant: the score's mean and spread over seeds; of several the difference from the first, 95 % interval."""
    rows = []
    variants = comparison["variants"]
    compared = {"difference": "value", "low": "low", "high": "high", "p": "p"} if len(variants) > 1 else {}
    for condition in next(iter(variants.values()))["scores"]:
        for name, variant in variants.items():
            spread = variant["scores"][condition][score]
            difference = variant["differences"].get(condition, {}).get(score, {})
            rows.append(
                {
                    "condition": condition,
                    "variant": name,
                    score: spread["mean"],
                    "std": spread["std"],
                    "seeds": spread["number"],
                    **{column: difference.get(key) for column, key in compared.items()},
                }
            )
    return rows


def cost_rows(comparison: Mapping[str, Any], score: str) -> list[dict[str, Any]]:
    """A row per variant: the mean of a score at the original and at the other conditions, beside what the variant costs."""
    rows = []
    for name, variant in comparison["variants"].items():
        means = {condition: scores[score]["mean"] for condition, scores in variant["scores"].items()}
        degraded = [value for condition, value in means.items() if condition not in ("original", DEGRADED)]
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
                "peak MB": _whole(_scaled(cost.get("peak_bytes"), 1e6)),
                "training min": _scaled(cost.get("training_seconds"), 60),
                "photographs seen": _whole(cost.get("training_photographs")),
            }
        )
    return rows


def _averaged(scored: ScoredRun) -> dict[str, list[str]]:
    """By the name of a row of the comparison, the conditions over which its scores are averaged."""
    conditions = [row["condition"] for row in scored.results["rows"]]
    degraded = [condition for condition in conditions if condition != "original"]
    return {condition: [condition] for condition in conditions} | ({DEGRADED: degraded} if len(degraded) > 1 else {})


def _values(members: Sequence[ScoredRun], conditions: Sequence[str]) -> dict[str, list[float]]:
    """By score, every run's mean over the conditions; scores that some have not are left out."""
    found = [[scored.statistics[condition].scores() for condition in conditions] for scored in members]
    names = [name for name in found[0][0] if all(name in scores for of_run in found for scores in of_run)]
    return {name: [fmean(scores[name] for scores in of_run) for of_run in found] for name in names}


def _differences(name: str, members: Sequence[ScoredRun], first: Sequence[ScoredRun]) -> dict[str, dict[str, Any]]:
    """By condition and score; none of a single photograph."""
    if len(members[0].plan.examples) < 2:
        return {}
    differences = {}
    bar = tqdm(_averaged(members[0]).items(), desc=f"differences of {printable(name)}", unit="condition", dynamic_ncols=True)
    for row, conditions in bar:  # the mean over runs and conditions is one mean, as all have the same number
        ours, theirs = ([scored.statistics[condition] for scored in runs for condition in conditions] for runs in (members, first))
        differences[row] = {score: asdict(difference) for score, difference in compare(ours, theirs).items()}
    return differences


def _spread(values: Sequence[float | None]) -> dict[str, Any] | None:
    known = [value for value in values if value is not None]
    return asdict(Spread.of(known)) if known else None


def _mean_cost(costs: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Means of the figures that all runs have."""
    numbers = {name: [cost[name] for cost in costs if name in cost] for name, value in costs[0].items() if isinstance(value, int | float)}
    return {name: sum(values) / len(values) for name, values in numbers.items() if len(values) == len(costs)}


def _sum(cost: Mapping[str, float], *names: str) -> float | None:
    return sum(cost[name] for name in names) if all(name in cost for name in names) else None


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)


def _scaled(value: float | None, unit: float) -> float | None:
    return None if value is None else value / unit
