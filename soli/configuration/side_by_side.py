"""Jobs of a sweep side by side on one machine: a process for each, on a GPU of its own where there are several, and a share of the cores.

Why not a launcher of Hydra's: hydra-joblib-launcher is one more package, whose workers all fall when one is killed; submitit_local starts
all jobs at once and on the same GPU; and Hydra takes a launcher of ours only from a package of its own, which others would get too.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import MutableMapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import torch

from soli.configuration.entry import INTERRUPTED
from soli.configuration.jobs import Job, Outcome
from soli.evaluation.programs import Watched
from soli.printing import printable
from soli.training.forecast import duration
from soli.training.interruption import StopRequest

PAUSE = 0.1  # seconds between two looks at the processes
FIRST_NEWS, MOST_SECONDS = 60, 600  # when it is first said how far the jobs are, and the longest time between two such lines
END = 2000  # bytes of a log, in which its last line is
STOPPED = (INTERRUPTED, -signal.SIGINT)  # the exit codes of commands after Ctrl-C, the second one before they can answer


class _Running(NamedTuple):
    job: Job
    slot: int
    program: Watched
    log: Path
    began: float


def run(name: str, jobs: Sequence[Job], at_a_time: int, folder: Path, outcomes: MutableMapping[int, Outcome]) -> None:
    """Runs jobs of the command `name`, at most `at_a_time` at once; what each prints is kept in `<folder>/job<number>.log`.

    `outcomes` takes their ends by their numbers. Ctrl-C, SIGTERM and SIGHUP are passed on to those that run, as Ctrl-C, and no others
    begin; when all have ended this raises KeyboardInterrupt. A second signal kills them. They do not outlive this process.
    """
    waiting, running = deque(jobs), list[_Running]()
    slots = list(range(min(at_a_time, len(jobs))))
    num_slots, is_passed_on = len(slots), False
    folder.mkdir(parents=True, exist_ok=True)
    news, between = time.monotonic() + FIRST_NEWS, FIRST_NEWS
    with StopRequest() as stop:
        try:
            while running or (waiting and not stop.requested):
                while slots and waiting and not stop.requested:
                    running.append(_start(name, waiting.popleft(), slots.pop(0), num_slots, folder))
                if stop.requested and not is_passed_on:
                    for one in running:
                        one.program.process.send_signal(signal.SIGINT)
                    is_passed_on = True
                for one in [one for one in running if one.program.process.poll() is not None]:
                    running.remove(one)
                    slots.append(one.slot)
                    outcomes[one.job.number] = _end(one)
                if time.monotonic() > news:
                    _say_how_far(running)
                    between = min(2 * between, MOST_SECONDS)
                    news = time.monotonic() + between
                time.sleep(PAUSE)
        finally:
            for one in running:
                one.program.end()
    if stop.requested:
        raise KeyboardInterrupt


def _start(name: str, job: Job, slot: int, num_slots: int, folder: Path) -> _Running:
    hydra = [line for line in job.hydra_overrides if not line.startswith("hydra.mode=")]
    marks = ["hydra.mode=RUN", f"hydra.job.id={job.number}", f"hydra.job.num={job.number}"]  # a job alone, and yet one of several
    log = folder / f"job{job.number + 1}.log"
    print(printable(f"Job {job.number + 1} begins: {job.title} (what it prints is in {log})"), flush=True)
    with open(log, "ab") as file:
        program = Watched(
            [sys.executable, "-m", f"soli.{name}", *hydra, *job.overrides, *marks],
            env={**os.environ, "PYTHONUNBUFFERED": "1", **share(slot, num_slots, job)},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
        )
    return _Running(job, slot, program, log, time.monotonic())


def share(slot: int, num_slots: int, job: Job) -> dict[str, str]:
    """The environment of a job: its share of the threads, unless the user has said how many; and its GPU, unless the job names one."""
    found = {} if "OMP_NUM_THREADS" in os.environ else {"OMP_NUM_THREADS": str(max(1, torch.get_num_threads() // num_slots))}
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    devices = visible.split(",") if visible else [str(number) for number in range(torch.cuda.device_count())]
    if len(devices) > 1 and ":" not in str(job.config.get("runtime", {}).get("device")):
        found["CUDA_VISIBLE_DEVICES"] = devices[slot % len(devices)]
    return found


def _end(one: _Running) -> Outcome:
    """Says how a job has ended."""
    code = one.program.process.returncode
    one.program.end()
    seconds = time.monotonic() - one.began
    took = duration(seconds) if seconds >= 60 else f"{seconds:.0f} s"
    outcome = Outcome(INTERRUPTED if code in STOPPED else int(code != 0), _last_words(one.log, code) if code else "")
    how = "is done" if not code else "was stopped" if outcome.code == INTERRUPTED else "has failed"
    print(printable(f"Job {one.job.number + 1} {how} after {took}: {one.job.title}"), flush=True)
    return outcome


def _say_how_far(running: Sequence[_Running]) -> None:
    """The last line of what each job has printed, a progress bar as a rule."""
    for one in running:
        with suppress(OSError), open(one.log, "rb") as file:
            file.seek(-min(END, os.fstat(file.fileno()).st_size), os.SEEK_END)
            lines = file.read().decode("utf-8", errors="replace").replace("\r", "\n").split("\n")
            last = next((line.strip() for line in reversed(lines) if line.strip()), "nothing yet")
            print(printable(f"Job {one.job.number + 1}: {last}"), flush=True)


def _last_words(log: Path, code: int) -> str:
    """Why a job has failed: what it said last, or the signal that has ended it."""
    if code < 0 and code not in STOPPED:
        return f"its process was ended by {signal.Signals(-code).name}; see the end of {log}."
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return (errors or lines or [f"it ended with exit code {code}"])[-1]
