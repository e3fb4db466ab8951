"""What a process and its descendants hold: memory, open files, threads; read from Linux's /proc while a training runs."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
JAVA = ("java", "sh")  # and the shell that watches over it


@dataclass(frozen=True)
class Held:
    """What one process holds. `resident` and `anonymous` memory in bytes (the latter shared with nobody's file), open files, threads."""

    resident: int
    anonymous: int
    files: int
    threads: int


@dataclass(frozen=True)
class Sample:
    """A look at a training after `step` steps: the training process itself, METEOR's Java and the workers as far as they were there, and
    how many processes there were in all, finished ones included that nobody has asked for their exit code."""

    step: int
    training: Held
    java: tuple[Held, ...]
    workers: tuple[Held, ...]
    processes: int


def watch(process: subprocess.Popen[str], log: Path, interval: float) -> list[Sample]:
    """Looks at `process` every `interval` seconds until it ends; its steps are those that its metrics.jsonl tells."""
    samples, steps = [], _steps(log)
    while process.poll() is None:
        step = next(steps)
        with contextlib.suppress(OSError):  # it ends just now
            samples.append(look(process.pid, step))
        time.sleep(interval)
    return samples


def look(pid: int, step: int = 0) -> Sample:
    """The present state. Raises OSError when the process is gone."""
    held, java, workers = hold(pid), [], []
    others = descendants(pid)
    for other in others:
        with contextlib.suppress(OSError):  # a worker that has ended, and holds nothing
            (java if _name(other) in JAVA else workers).append(hold(other))
    return Sample(step, held, tuple(java), tuple(workers), 1 + len(others))


def hold(pid: int) -> Held:
    """What a process holds. Raises OSError when it is gone."""
    rollup = (PROC / str(pid) / "smaps_rollup").read_text()
    memory = {name: 1024 * int(re.search(rf"^{name}: +(\d+) kB$", rollup, re.MULTILINE).group(1)) for name in ("Rss", "Anonymous")}
    threads = int(re.search(r"^Threads:\s+(\d+)$", (PROC / str(pid) / "status").read_text(), re.MULTILINE).group(1))
    return Held(memory["Rss"], memory["Anonymous"], len(os.listdir(PROC / str(pid) / "fd")), threads)


def descendants(pid: int) -> list[int]:
    """Children, their children, and so on."""
    parents = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    found, new = [], [pid]
    while new:
        new = [child for child, parent in parents.items() if parent in new]
        found += new
    return found


def _name(pid: int) -> str:
    return (PROC / str(pid) / "comm").read_text().strip()


def _steps(log: Path) -> Iterator[int]:
    """The last step that the log tells of, again and again; each line is read once."""
    step, place = 0, 0
    while True:
        with contextlib.suppress(OSError), open(log, encoding="utf-8") as file:
            file.seek(place)
            for line in iter(file.readline, ""):
                if line.endswith("\n"):
                    place += len(line.encode())
                    step = json.loads(line)["step"]
        yield step
