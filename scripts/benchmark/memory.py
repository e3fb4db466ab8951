"""How much memory python -m soli.train takes at most: ViT-Tiny at 224 pixels, a small GPT-2, 32 photographs a step with five captions each.

python scripts/benchmark/memory.py [--photographs ROOT] [--quick] [--output FILE]

Each training is a process of its own on one thread, which trains some steps, validates and saves. Looked at from outside, on Linux: what
the process held when its run folder was there (imports, data and model; steps come next), the most it ever held (VmHWM), and the most that
its workers held together, where pages that several processes share count in parts (PSS). Prints JSON and a table, in GiB.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from photographs import data_overrides
from timing import read_arguments, report

from soli.version import __version__

MODEL = ("encoder=vit_tiny", "encoder.weights=null", "decoder=tiny_gpt2", "runtime.threads=1", "validation.limit=8")
TRAININGS = {
    "par": ("variant=par",),
    "par, a worker": ("variant=par", "runtime.workers=1"),
    "par, two parts": ("variant=par", "loader.accumulation=2"),
    "par, recomputed": ("variant=par", "encoder.gradient_checkpointing=true"),
    "baseline": ("variant=baseline",),
}
INTERVAL = 0.02  # seconds between two looks; the process's peak is kept by the system, only that of workers can be missed
Bytes = dict[str, int]


def main() -> None:
    given = read_arguments(__doc__, quick="two steps instead of four; neither a worker nor recomputing", photographs=True)
    steps, left_out = (2, {"par, a worker", "par, recomputed"}) if given.quick else (4, set())
    with tempfile.TemporaryDirectory() as scratch:
        data = data_overrides(given.photographs, Path(scratch) / "photographs", num_train=160)
        results = [
            measure(name, Path(scratch) / name, [*data, *MODEL, *overrides, f"runtime.max_steps={steps}"])
            for name, overrides in TRAININGS.items()
            if name not in left_out
        ]
    report(results, table(results), {"soli": __version__, "torch": torch.__version__}, given.output, threads=1)


def measure(name: str, folder: Path, overrides: Sequence[str]) -> dict:
    """Trains into `folder`. Raises RuntimeError with what the command said when it fails."""
    command = [sys.executable, "-m", "soli.train", *overrides, f"run_dir='{folder}'"]
    with tempfile.TemporaryFile("w+") as said, subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said) as process:
        seen = watch(process, folder / "config.yaml")
        said.seek(0)
        if process.returncode:
            raise RuntimeError(f"{name}: {said.read()}")
    return {"name": name, "bytes": {**seen, "together": seen["process"] + seen["workers"]}}


def watch(process: subprocess.Popen, last_before_steps: Path) -> Bytes:
    """What a process holds when a file appears, and the peaks of the process and of its workers, until it ends."""
    seen, before = {"before steps": 0, "process": 0, "workers": 0}, set()
    while process.poll() is None:
        if seen["before steps"] == 0 and last_before_steps.exists():
            seen["before steps"] = read_field(process.pid, "status", "VmRSS")
        seen["process"] = max(seen["process"], read_field(process.pid, "status", "VmHWM"))
        now = set(children(process.pid))
        lasting = now & before  # the others may be commands that are only starting, for a moment with all pages of the process
        seen["workers"] = max(seen["workers"], sum(read_field(worker, "smaps_rollup", "Pss") for worker in lasting))
        before = now
        time.sleep(INTERVAL)
    return seen


def children(process_id: int) -> list[int]:
    try:
        lists = [path.read_text() for path in Path(f"/proc/{process_id}/task").glob("*/children")]
    except OSError:  # it ended between two looks
        return []
    return [int(child) for text in lists for child in text.split()]


def read_field(process_id: int, file: str, field: str) -> int:
    """Bytes; 0 of a process that has ended."""
    try:
        found = re.search(rf"^{field}:\s+(\d+) kB", Path(f"/proc/{process_id}/{file}").read_text(), flags=re.MULTILINE)
    except OSError:
        return 0
    return 1024 * int(found[1]) if found else 0


def table(results: list[dict]) -> str:
    columns = ("before steps", "process", "workers", "together")
    lines = [f"{'GiB':18}" + "".join(f"{column:>14}" for column in columns)]
    lines += [f"{row['name']:18}" + "".join(f"{row['bytes'][column] / 2**30:14.2f}" for column in columns) for row in results]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
