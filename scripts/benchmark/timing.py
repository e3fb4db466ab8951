"""What the benchmarks share: two ways timed in turn, medians and quartiles, and a report as JSON with the data of the machine."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from soli.evaluation.cost import cpu_name

Seconds = dict[str, float]


def read_arguments(description: str, quick: str, captions: bool = False) -> argparse.Namespace:
    """--quick, --output and, on request, --captions."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    if captions:
        parser.add_argument("--captions", type=Path, help="a captions.jsonl of soli.evaluate; without it captions are drawn")
    parser.add_argument("--quick", action="store_true", help=quick)
    parser.add_argument("--output", type=Path, help="a file for the JSON; without it nothing is written")
    return parser.parse_args()


def race(ours: Callable[[], object], peer: Callable[[], object], repeats: int) -> dict:
    """Times both ways in turn: seconds of each, and how many times as fast ours is, by wall time and by CPU time."""
    rounds = [(timed(ours), timed(peer)) for _ in range(repeats)]
    columns = {"ours": [pair[0] for pair in rounds], "peer": [pair[1] for pair in rounds]}
    seconds = {way: {clock: quartiles([times[clock] for times in column]) for clock in ("wall", "cpu")} for way, column in columns.items()}
    speedup = {clock: seconds["peer"][clock]["median"] / seconds["ours"][clock]["median"] for clock in ("wall", "cpu")}
    return {"repeats": repeats, "seconds": seconds, "speedup": speedup}


def timed(work: Callable[[], object]) -> Seconds:
    wall, cpu = time.perf_counter(), cpu_seconds()
    work()
    return {"wall": time.perf_counter() - wall, "cpu": cpu_seconds() - cpu}


def cpu_seconds() -> float:
    """Of this process, and of those of its children that have ended and were waited for: a child that still runs counts nothing yet."""
    times = os.times()
    return time.process_time() + times.children_user + times.children_system


def quartiles(seconds: list[float]) -> Seconds:
    lower, median, upper = statistics.quantiles(seconds, n=4, method="inclusive") if len(seconds) > 1 else 3 * seconds
    return {"lower": lower, "median": median, "upper": upper}


def report(results: list[dict], table: str, versions: dict[str, str], output: Path | None, **machine: object) -> None:
    """Prints JSON and the table; writes the JSON where a file is named."""
    versions = {"python": platform.python_version(), **versions}
    text = json.dumps({"machine": {"cpu": cpu_name(), **machine}, "versions": versions, "results": results}, indent=2)
    print(f"{text}\n\n{table}")
    if output is not None:
        output.write_text(text + "\n", encoding="utf-8")
