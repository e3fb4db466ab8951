"""Commands of soli in processes of their own, for scripts that train many runs: those that are finished are left, the others go on."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from threading import Event

from soli.evaluation.writing import write_whole
from soli.interfaces import SoliError
from soli.training.leftovers import is_finished


def check_begun(folder: Path, overrides: Sequence[str]) -> None:
    """Raises SoliError where a run was begun with other overrides than these: what it is to be used for would not be true."""
    recorded = folder.with_suffix(".json")
    if not (folder / "config.yaml").is_file() or not recorded.is_file():
        return
    begun = json.loads(recorded.read_text(encoding="utf-8"))
    if begun != list(overrides):
        differing = [f"with {each}" for each in begun if each not in overrides]
        differing += [f"without {each}" for each in overrides if each not in begun]
        raise SoliError(
            f"{folder} was begun {', '.join(differing) or 'with the same overrides in another order'}: give another --out, repeat the "
            "command as it was, or move the run away."
        )


def train(folder: Path, overrides: Sequence[str], threads: int | None = None) -> None:
    """Trains a run from where it is, its output in `<folder>.log`, its overrides in `<folder>.json`.

    Raises SoliError where soli.train fails.
    """
    if is_finished(folder):
        print(f"{folder} is finished already", flush=True)
        return
    own = [] if threads is None else [f"runtime.threads={threads}"]
    if (folder / "config.yaml").is_file():
        given = [f"resume={folder}"]
    else:
        given = [*overrides, f"run_dir={folder}"]
        folder.parent.mkdir(parents=True, exist_ok=True)
        write_whole(folder.with_suffix(".json"), json.dumps(list(overrides), indent=2) + "\n")
    run_command("train", *given, *own, log=folder.with_suffix(".log"))


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
    """soli.<command>; with `log`, its output goes there. Raises SoliError where it fails, with what it said."""
    print(" ".join(["soli." + command, *overrides]) + "\n", end="", flush=True)
    line = [sys.executable, "-m", f"soli.{command}", *overrides]
    if log is None:
        code = subprocess.run(line, check=False).returncode
    else:
        log.parent.mkdir(parents=True, exist_ok=True)
        with open(log, "a", encoding="utf-8") as file:
            code = subprocess.run(line, stdout=file, stderr=file, check=False).returncode
    if code:
        raise SoliError(f"soli.{command} failed" + (f", {_told(log)}" if log else "."))


def _told(log: Path) -> str:
    """What a command said last of all; the whole is in the log."""
    errors = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.startswith("error: ")]
    return f"see {log}: {errors[-1].removeprefix('error: ')}" if errors else f"see the end of {log}."
