"""How long the command that trains takes to say what it can do, beside the import of PyTorch that nothing which trains can do without.

python scripts/benchmark/startup.py [--quick] [--output FILE]

`python -m soli.train --help`, `python -m soli.train --cfg job` and `python -c "import torch"`, each in a process of its own, in turn, after
a round that warms up the disk's cache. Prints JSON and a table: medians and quartiles of wall time and of CPU time.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import partial

import torch
from timing import quartiles, read_arguments, report, timed

from soli.version import __version__

COMMANDS = {
    "soli.train --help": ("-m", "soli.train", "--help"),
    "soli.train --cfg job": ("-m", "soli.train", "--cfg", "job"),
    "import torch": ("-c", "import torch"),
}


def main() -> None:
    given = read_arguments(__doc__, quick="two repeats instead of five")
    results = measure(COMMANDS, repeats=2 if given.quick else 5)
    report(results, table(results), {"soli": __version__, "torch": torch.__version__}, given.output)


def measure(commands: Mapping[str, Sequence[str]], repeats: int) -> list[dict]:
    """Seconds of each command, after a round that is not counted. Raises CalledProcessError when one fails."""
    rounds = [[timed(partial(start, command)) for command in commands.values()] for _ in range(repeats + 1)][1:]
    columns = dict(zip(commands, zip(*rounds, strict=True), strict=True))
    return [
        {"name": name, "repeats": repeats, "seconds": {clock: quartiles([times[clock] for times in column]) for clock in ("wall", "cpu")}}
        for name, column in columns.items()
    ]


def start(command: Sequence[str]) -> None:
    subprocess.run([sys.executable, *command], stdout=subprocess.DEVNULL, check=True)


def table(results: list[dict]) -> str:
    lines = [f"{'seconds':24}{'wall':>8}{'CPU':>8}"]
    lines += [f"{row['name']:24}{row['seconds']['wall']['median']:8.2f}{row['seconds']['cpu']['median']:8.2f}" for row in results]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
