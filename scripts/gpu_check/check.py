"""What only a CUDA machine can show of soli, in at most nine minutes: tests, speed of a step, degradations, generation, a short training.

scripts/gpu_check.sh [--cpu] [--photographs FOLDER] [--weights FOLDER] [--output FILE] [--only SECTION,...]

Each section is a process with its own limit of time: one that fails or hangs is reported, and the others still run. The JSON is written
after every section, by default to scripts/benchmark/results/gpu_check_<date>_<device>.json, with --cpu to build/. At the end stands a
table of the figures beside what is wanted of them. The exit code is 0 when all sections ran, also where a figure is missed; 1 when one
failed, 2 for an impossible option.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from section import ROOT, add_options, check_options, short, stop

HERE = Path(__file__).parent
SECONDS = 500.0  # of all sections together: with the imports before them less than nine minutes
TOO_LITTLE = 10.0  # seconds in which no section can show anything
INTERVAL = 2.0  # seconds between two looks at what a section has found
BAR = re.compile(r"\d+%\|")  # of progress, which would be a line at each change
KEPT_LINES = 200  # of what a section said that did not run to its end
PACKAGES = ("torch", "torchvision", "transformers", "accelerate", "triton", "numpy", "pillow")


@dataclass(frozen=True)
class Plan:
    """A section: its file, and the most seconds it may take, on a CUDA device and at toy sizes."""

    name: str
    script: Path
    seconds: float
    toy_seconds: float


PLANS = (
    Plan("tests", HERE / "cuda_tests.py", seconds=100, toy_seconds=60),
    Plan("step", HERE / "whole_step.py", seconds=190, toy_seconds=90),
    Plan("degradations", HERE / "degrading.py", seconds=35, toy_seconds=40),
    Plan("generation", HERE / "captioning.py", seconds=60, toy_seconds=60),
    Plan("training", HERE / "short_training.py", seconds=270, toy_seconds=170),
)


def main() -> None:
    started = time.monotonic()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends the section too
    given = read_arguments()
    plans = chosen(PLANS, given.only)
    about = about_machine(given.cpu)
    output = given.output or default_output(about)
    output.parent.mkdir(parents=True, exist_ok=True)
    try:
        results = run_all(plans, options_of(given), about, output, started + given.seconds)
    except KeyboardInterrupt:
        sys.exit(f"Stopped; what was found until then is in {output}")
    print(f"\n{table(results)}\n\nThe figures are in {output}", flush=True)
    sys.exit(any(section["outcome"] != "ran" for section in results["sections"].values()))


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    parser.add_argument("--only", help=f"some of {','.join(plan.name for plan in PLANS)}")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="the most that all sections may take together")
    given = parser.parse_args()
    check_options(given, torch.cuda.is_available())
    return given


def chosen(plans: Sequence[Plan], only: str | None) -> list[Plan]:
    """The sections that --only names, in their order. Ends the program for an unknown one."""
    names = [plan.name for plan in plans] if only is None else only.split(",")
    unknown = [name for name in names if name not in [plan.name for plan in plans]]
    if unknown:
        stop(f"--only={only}: there is no section {unknown[0]!r}; there are {', '.join(plan.name for plan in plans)}.")
    return [plan for plan in plans if plan.name in names]


def options_of(given: argparse.Namespace) -> list[str]:
    """What every section is told."""
    folders = {name: getattr(given, name) for name in ("photographs", "weights") if getattr(given, name) is not None}
    return [*(["--cpu"] if given.cpu else []), *(f"--{name}={folder.resolve()}" for name, folder in folders.items())]


def about_machine(toy: bool) -> dict[str, Any]:
    device = "cpu" if toy else torch.cuda.get_device_name()
    return {
        "date": datetime.date.today().isoformat(),
        "device": device,
        "driver": None if toy else driver(),
        "cuda": None if toy else torch.version.cuda,
        "processors": os.cpu_count(),
        "toy": toy,
        "versions": {"python": platform.python_version(), **{package: version_of(package) for package in PACKAGES}},
    }


def driver() -> str | None:
    """The version of the graphics driver; None where nvidia-smi does not tell."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.split()[0]
    return None


def version_of(package: str) -> str | None:
    with contextlib.suppress(PackageNotFoundError):
        return version(package)
    return None


def default_output(about: Mapping[str, Any]) -> Path:
    if about["toy"]:
        return ROOT / "build" / "gpu_check_cpu.json"
    device = re.sub(r"[^a-z0-9]+", "_", about["device"].lower()).strip("_")
    return ROOT / "scripts" / "benchmark" / "results" / f"gpu_check_{about['date']}_{device}.json"


def run_all(plans: Sequence[Plan], options: Sequence[str], about: Mapping[str, Any], output: Path, deadline: float) -> dict[str, Any]:
    """Runs the sections one after the other, until `deadline` of time.monotonic at the latest, and writes all after each, and before."""
    results: dict[str, Any] = {**about, "sections": {}}

    def keep(name: str, section: dict[str, Any]) -> None:
        results["sections"][name] = section
        write(results, output)

    for plan in plans:
        left = deadline - time.monotonic()
        limit = min(plan.toy_seconds if about["toy"] else plan.seconds, left)
        if left < TOO_LITTLE:
            keep(plan.name, {"outcome": "not run: no time was left", "seconds": 0.0, "figures": []})
        else:
            keep(plan.name, run(plan, options, limit, partial(keep, plan.name)))
    return results


def run(plan: Plan, options: Sequence[str], limit: float, keep: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Runs a section, its lines printed with the seconds since its begin. What it has found is kept all the while."""
    print(f"\n{plan.name}: at most {limit:.0f} s", flush=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        found, started = Path(folder) / "found.json", time.monotonic()
        process = start(plan, [*options, f"--seconds={limit:.0f}", f"--output={found}"])
        lines: deque[str] = deque(maxlen=KEPT_LINES)
        reader = threading.Thread(target=repeat, args=(process, plan.name, started, lines), daemon=True)
        reader.start()
        outcome = wait(process, limit, lambda: keep({"outcome": "running", "seconds": seconds_since(started), **read(found)}))
        reader.join(timeout=2)
        print(f"{plan.name}: {outcome}, {seconds_since(started):.0f} s", flush=True)
        said = {} if outcome == "ran" else {"said": list(lines)}
        return {"outcome": outcome, "seconds": seconds_since(started), **read(found), **said}


def start(plan: Plan, options: Sequence[str]) -> subprocess.Popen[str]:
    """The process of a section, in a session of its own, so that it can be ended with all that it starts."""
    return subprocess.Popen(
        [sys.executable, "-u", str(plan.script), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
        env=environment(),
    )


def seconds_since(started: float) -> float:
    return round(time.monotonic() - started, 1)


def environment() -> dict[str, str]:
    """That of this process, in which sections find soli and the benchmarks, wherever they run."""
    given = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    paths = [ROOT, ROOT / "scripts" / "benchmark", *(Path(path).resolve() for path in given)]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}


def wait(process: subprocess.Popen[str], limit: float, look: Callable[[], None]) -> str:
    """What became of the process, after which it is looked every other second. It is ended, with all that it has started, after `limit`
    seconds, and when this process is told to end.
    """
    deadline = time.monotonic() + limit
    try:
        while (left := deadline - time.monotonic()) > 0:
            with contextlib.suppress(subprocess.TimeoutExpired):
                status = process.wait(min(left, INTERVAL))
                return "ran" if status == 0 else f"failed (exit code {status})"
            look()
        return f"stopped after {limit:.0f} s"
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):  # a process that hangs in a driver cannot be ended: the others go on
            process.wait(INTERVAL)


def repeat(process: subprocess.Popen[str], name: str, started: float, lines: deque[str]) -> None:
    """Prints the lines of a process as they come, and keeps the last ones."""
    for line in process.stdout:
        if BAR.search(line) or not line.strip():
            continue
        lines.append(line.rstrip())
        print(f"[{time.monotonic() - started:6.1f} s] {name}: {lines[-1]}", flush=True)


def read(found: Path) -> dict[str, Any]:
    """What a section had written last."""
    try:
        return json.loads(found.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {"figures": []}


def write(results: Mapping[str, Any], output: Path) -> None:
    """In one step: what was there before stays until all is written."""
    unfinished = output.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    unfinished.replace(output)


def table(results: Mapping[str, Any]) -> str:
    """Figure, value, wanted, met or missed; then what became of the sections."""
    rows = [("figure", "value", "wanted", "")]
    for name, section in results["sections"].items():
        rows += [(f"{name}: {figure['name']}", *told(figure), verdict(figure, results["toy"])) for figure in section["figures"]]
    widths = [max(len(row[place]) for row in rows) for place in range(3)]
    lines = [f"{row[0]:{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]:>{widths[2]}}  {row[3]}".rstrip() for row in rows]
    ends = [f"{name}: {section['outcome']}, {section['seconds']:.0f} s" for name, section in results["sections"].items()]
    toy = ["Toy sizes on a CPU: they check the check, and no figure is judged."] if results["toy"] else []
    return "\n".join([*lines, "", *ends, *toy])


def told(figure: Mapping[str, Any]) -> tuple[str, str]:
    """The value and what is wanted."""
    value = "not finite" if figure["value"] is None else f"{short(figure['value'])} {figure['unit']}".rstrip()
    return value, "" if figure["wanted"] is None else f">= {figure['wanted']:,g}"


def verdict(figure: Mapping[str, Any], toy: bool) -> str:
    if figure["wanted"] is None or toy:
        return ""
    return "met" if figure["value"] is not None and figure["value"] >= figure["wanted"] else "missed"


if __name__ == "__main__":
    main()
