"""From looks at a training to what grew: the first third after the warm-up beside the last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from process_tree import Held, Sample

ALLOWED = 0.02  # of memory; counts may not grow at all
FEWEST = 30  # looks in each third, so that some find no worker there
MEMORY = ("resident", "anonymous")
COUNTS = ("files", "threads")
Rows = dict[str, dict[str, Any]]


def compare(samples: Sequence[Sample], steps: int) -> Rows:
    """Of each quantity its value `before` and `after`, and its `growth`, a share of the value before.

    Memory is a median in bytes: of the training process, of Java, of all workers, and of the tree, the sum of these. Counts are the fewest:
    a worker or a file that comes and goes is no growth, one that stays is. Raises RuntimeError for too few looks.
    """
    warm = steps / 4
    third = (steps - warm) / 3
    first = [sample for sample in samples if warm < sample.step <= warm + third]
    last = [sample for sample in samples if steps - third < sample.step < steps]  # after the last one it takes everything down
    if min(len(first), len(last)) < FEWEST:
        raise RuntimeError(f"Only {len(first)} and {len(last)} looks in the two thirds that are compared: give more --steps.")
    before, after = _quantities(first), _quantities(last)
    rows = {name: {"before": value, "after": after[name], "growth": _growth(value, after[name])} for name, value in before.items()}
    return {name: {**row, "judged": not name.startswith(("java", "workers"))} for name, row in rows.items()}


def grown(results: Mapping[str, Mapping[str, Rows]]) -> list[str]:
    """A sentence for each quantity of each training that grew by more than it may. Java and workers count in the tree."""
    return [
        f"{name}, {quantity}: {row['before']:,.0f}, then {row['after']:,.0f} ({row['growth']:+.1%})"
        for name, result in results.items()
        for quantity, row in result["rows"].items()
        if row["judged"] and row["growth"] > (ALLOWED if quantity.endswith(MEMORY) else 0)
    ]


def table(results: Mapping[str, Mapping[str, Rows]]) -> str:
    """For the screen: memory in MiB."""
    lines = [f"{'training':10} {'quantity':20} {'before':>10} {'after':>10} {'growth':>8}"]
    for name, result in results.items():
        for quantity, row in result["rows"].items():
            unit = 2**20 if quantity.endswith(MEMORY) else 1
            values = [f"{row[when] / unit:>10,.{0 if unit == 1 else 1}f}" for when in ("before", "after")]
            lines.append(f"{name:10} {quantity:20} {values[0]} {values[1]} {row['growth']:>+8.2%}")
    return "\n".join(lines)


def _quantities(samples: Sequence[Sample]) -> dict[str, float]:
    training = [sample.training for sample in samples]
    found: dict[str, float] = {f"training {name}": median(getattr(held, name) for held in training) for name in MEMORY}
    for kind in ("java", "workers"):
        there = [getattr(sample, kind) for sample in samples if getattr(sample, kind)]
        found |= {f"{kind} {name}": median(_sum(held, name) for held in there) if there else 0 for name in MEMORY}
    found |= {f"tree {name}": sum(found[f"{part} {name}"] for part in ("training", "java", "workers")) for name in MEMORY}
    found |= {f"training {name}": min(getattr(held, name) for held in training) for name in COUNTS}
    return found | {"tree processes": min(sample.processes for sample in samples)}


def _sum(processes: Sequence[Held], name: str) -> int:
    return sum(getattr(held, name) for held in processes)


def _growth(before: float, after: float) -> float:
    """As a share; of what was not there before, all of it."""
    return (after - before) / before if before else float(after > 0)
