"""Runs all benchmarks, one after the other, and writes their figures to scripts/benchmark/results/<benchmark>_<date>_<device>.json.

python scripts/benchmark/all.py [--full]

It takes less than ten minutes on two cores; --full, with all their repeats, takes some forty, and replaces quick figures of the day. A
benchmark is any other file of this folder that can be run. Prints the table of each. When one fails, the others go on, and the exit code
is 1.
"""

from __future__ import annotations

import argparse
import datetime
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
DEVICE = "cpu"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="all repeats of each benchmark")
    options = [] if parser.parse_args().full else ["--quick"]
    failed = [path.stem for path in benchmarks(HERE) if not run(path, options)]
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def benchmarks(folder: Path) -> list[Path]:
    """The files of a folder that can be run, but for this one."""
    scripts = sorted(path for path in folder.glob("*.py") if path != Path(__file__))
    return [path for path in scripts if 'if __name__ == "__main__":' in path.read_text(encoding="utf-8")]


def run(path: Path, options: list[str]) -> bool:
    """Whether the benchmark has succeeded. Its table is printed; where it fails, what it said on stderr."""
    results = path.parent / "results"
    results.mkdir(exist_ok=True)
    output = results / f"{path.stem}_{datetime.date.today()}_{DEVICE}.json"
    started = time.monotonic()
    done = subprocess.run([sys.executable, path, *options, "--output", output], capture_output=True, text=True)
    print(f"{path.stem}, {time.monotonic() - started:.0f} s\n")
    print(done.stderr if done.returncode else done.stdout.partition("\n\n")[2], flush=True)  # the table stands behind the JSON
    return done.returncode == 0


if __name__ == "__main__":
    main()
