"""Commands of soli in processes of their own, for scripts that train many runs: those that are finished are left, the others go on."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from threading import Event

from soli.interfaces import SoliError
from soli.training.checkpoint import LAST, read_progress


def is_finished(folder: Path) -> bool:
    """Whether a run was trained to its end."""
    return (folder / LAST).is_file() and read_progress(folder / LAST).finished


def train(folder: Path, overrides: Sequence[str], threads: int | None = None) -> None:
    """Trains a run from where it is, its output in `<folder>.log`. Raises SoliError where soli.train fails."""
    if is_finished(folder):
        print(f"{folder} is finished already", flush=True)
        return
    own = [] if threads is None else [f"runtime.threads={threads}"]
    begun = (folder / "config.yaml").is_file()
    run_command("train", *([f"resume={folder}"] if begun else [*overrides, f"run_dir={folder}"]), *own, log=folder.with_suffix(".log"))


def train_many(trainings: Sequence[tuple[Path, Sequence[str]]], jobs: int) -> None:
    """Trains runs, folders and overrides, as many at a time as `jobs` says, on one thread each if there are several at a time.

    Raises SoliError when one of them fails; those that wait are not begun then.
    """
    stopped, num_trained = Event(), 0

    def train_next(folder: Path, overrides: Sequence[str]) -> bool:
        if stopped.is_set():
            return False
        try:
            train(folder, overrides, threads=1 if jobs > 1 else None)
        except BaseException:
            stopped.set()  # before this thread takes the next one
            raise
        return True

    with ThreadPoolExecutor(jobs) as pool:
        try:
            for future in as_completed([pool.submit(train_next, *training) for training in trainings]):
                num_trained += future.result()
                print(f"{num_trained} of {len(trainings)} runs are trained\n", end="", flush=True)  # one write: threads print too
        except BaseException:
            stopped.set()
            raise


def run_command(command: str, *overrides: str, log: Path | None = None) -> None:
    """soli.<command>; with `log`, its output goes there. Raises SoliError where it fails."""
    print(" ".join(["soli." + command, *overrides]) + "\n", end="", flush=True)
    line = [sys.executable, "-m", f"soli.{command}", *overrides]
    if log is None:
        code = subprocess.run(line, check=False).returncode
    else:
        log.parent.mkdir(parents=True, exist_ok=True)
        with open(log, "a", encoding="utf-8") as file:
            code = subprocess.run(line, stdout=file, stderr=file, check=False).returncode
    if code:
        raise SoliError(f"soli.{command} failed" + (f": see the end of {log}." if log else "."))
