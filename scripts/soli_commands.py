"""Commands of soli in processes of their own, for scripts with many runs: what is finished is left, what was begun goes on."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from pathlib import Path
from threading import Event

from soli.evaluation.writing import write_whole
from soli.interfaces import SoliError
from soli.training.leftovers import is_finished


def check_begun(folder: Path, overrides: Sequence[str]) -> None:
    """Raises SoliError where a run was begun with other overrides than these: what it is to be used for would not be true."""
    recorded = _beside(folder, ".json")
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
        print(f"{folder} is finished already\n", end="", flush=True)  # one write: threads print too
        return
    if (folder / "config.yaml").is_file():
        given = [f"resume={folder}"]
    else:
        given = [*overrides, f"run_dir={folder}"]
        folder.parent.mkdir(parents=True, exist_ok=True)
        write_whole(_beside(folder, ".json"), json.dumps(list(overrides), indent=2) + "\n")
    run_command("train", *given, *_on(threads), log=_beside(folder, ".log"))


def train_many(trainings: Sequence[tuple[Path, Sequence[str]]], jobs: int) -> None:
    """Trains runs, folders and overrides, as many at a time as `jobs` says, on one thread each if there are several at a time.

    Raises SoliError when one of them fails, those that wait are not begun then; and for a dry run.
    """
    dry = [override for _, overrides in trainings for override in overrides if override.lstrip("+").startswith("dry_run=")]
    if dry:
        raise SoliError(f"{dry[0]} is for soli.train alone, and these runs are to be used afterwards. Leave it out.")
    threads = 1 if jobs > 1 else None
    _side_by_side([partial(train, folder, overrides, threads) for folder, overrides in trainings], jobs, "runs are trained")


def evaluate_many(evaluations: Sequence[tuple[Path, Path, Sequence[str]]], jobs: int) -> None:
    """soli.evaluate of runs, as many at a time as `train_many` trains: the run, the folder for its evaluation, and overrides."""
    threads = 1 if jobs > 1 else None
    _side_by_side([partial(evaluate, *evaluation, threads) for evaluation in evaluations], jobs, "evaluations are done")


def evaluate(run: Path, output: Path, overrides: Sequence[str], threads: int | None = None) -> None:
    """Evaluates a run into a folder, what is said in `<folder>.log`, unless there is an evaluation already.

    Whether that one is of the same weights and settings is for the comparison to see that takes it. Raises SoliError where soli.evaluate
    fails.
    """
    if (output / "metrics.json").is_file():
        print(f"{run} has an evaluation in {output}\n", end="", flush=True)
        return
    run_command("evaluate", f"run={run}", f"output={output}", *overrides, *_on(threads), log=_beside(output, ".log"))


def _on(threads: int | None) -> list[str]:
    return [] if threads is None else [f"runtime.threads={threads}"]


def _side_by_side(calls: Sequence[Callable[[], None]], jobs: int, told: str) -> None:
    """Makes the calls in threads, as many at a time as `jobs` says; after one that raises, no other begins."""
    stopped, num_done = Event(), 0

    def call_next(call: Callable[[], None]) -> bool:
        if stopped.is_set():
            return False
        try:
            call()
        except BaseException:
            stopped.set()  # before this thread takes the next one
            raise
        return True

    with ThreadPoolExecutor(jobs) as pool:
        try:
            for future in as_completed([pool.submit(call_next, call) for call in calls]):
                num_done += future.result()
                print(f"{num_done} of {len(calls)} {told}\n", end="", flush=True)  # one write: threads print too
        except BaseException:
            stopped.set()
            raise


def run_command(command: str, *overrides: str, log: Path | None = None) -> None:
    """soli.<command>; with `log`, its output goes there. Raises SoliError where it fails, with what it said."""
    print(" ".join(["soli." + command, *overrides]) + "\n", end="", flush=True)
    line = [sys.executable, "-m", f"soli.{command}", *overrides]
    if log is None:
        code, told = subprocess.run(line, check=False).returncode, "."
    else:
        log.parent.mkdir(parents=True, exist_ok=True)
        with open(log, "a", encoding="utf-8") as file:
            begin = file.tell()
            code = subprocess.run(line, stdout=file, stderr=file, check=False).returncode
        told = f", {_told(log, begin)}"
    if code:
        raise SoliError(f"soli.{command} failed{told}")


def _beside(folder: Path, suffix: str) -> Path:
    """`<folder><suffix>`. Names have dots: with_suffix would give par_0.3_0.7_0 and par_0.3_0.7_1 one file, par_0.3_0.log."""
    return folder.with_name(folder.name + suffix)


def _told(log: Path, begin: int) -> str:
    """What a command said last of all, from this byte of the log on; the whole is in the log."""
    text = log.read_bytes()[begin:].decode("utf-8", errors="replace")
    errors = [line for line in text.splitlines() if line.startswith("error: ")]
    return f"see {log}: {errors[-1].removeprefix('error: ')}" if errors else f"see the end of {log}."
