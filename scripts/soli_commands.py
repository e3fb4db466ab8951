"""Commands of soli in processes of their own, for scripts that train many runs: those that are finished are left, the others go on."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from soli.interfaces import SoliError
from soli.training.leftovers import is_finished


def train(folder: Path, overrides: Sequence[str], threads: int | None = None) -> None:
    """Trains a run from where it is, its output in `<folder>.log`. Raises SoliError where soli.train fails."""
    if is_finished(folder):
        print(f"{folder} is finished already", flush=True)
        return
    own = [] if threads is None else [f"runtime.threads={threads}"]
    begun = (folder / "config.yaml").is_file()
    run_command("train", *([f"resume={folder}"] if begun else [*overrides, f"run_dir={folder}"]), *own, log=folder.with_suffix(".log"))


def run_command(command: str, *overrides: str, log: Path | None = None) -> None:
    """soli.<command>; with `log`, its output goes there. Raises SoliError where it fails."""
    print(" ".join(["soli." + command, *overrides]), flush=True)
    line = [sys.executable, "-m", f"soli.{command}", *overrides]
    if log is None:
        code = subprocess.run(line, check=False).returncode
    else:
        log.parent.mkdir(parents=True, exist_ok=True)
        with open(log, "a", encoding="utf-8") as file:
            code = subprocess.run(line, stdout=file, stderr=file, check=False).returncode
    if code:
        raise SoliError(f"soli.{command} failed" + (f": see the end of {log}." if log else "."))
