"""Trainings of every variant under faults: kills, signals, full disks, lost photographs and workers, two on one folder.

python scripts/fault_check.py [--minutes 12] [--seed 0] [--faults 0] [--only "full disk,SIGINT"] [--case N] [--json FILE]

Each fault is done to a small training in a process of its own. It must go on to the end of an undisturbed one, bit for bit (weights,
progress, log), or stop with one clear sentence and, once the cause is removed, go on to that end. As root, full and read-only disks are
real ones in memory; elsewhere their errors are injected. The same seed does the same faults; when they strike depends on the clock too.
The exit code is 1 when one has failed; a line then says how to repeat it.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parent))  # beside a module of its name, the package counts

from fault_check.cases import Case, Laboratory
from fault_check.faults import FAULTS
from fault_check.trainings import VARIANTS, Warm

OUTCOMES = ("tried", "resumed", "stopped", "failed")


@dataclass
class Verdict:
    """What became of a case. `outcome`: resumed (or never disturbed), stopped with a sentence and then resumed, or failed."""

    number: int
    fault: str
    variant: str
    outcome: str
    account: list[str] = field(default_factory=list)
    sentence: str | None = None
    problems: list[str] = field(default_factory=list)


def main() -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends what was begun
    given = read_arguments()
    numbers = [given.case] if given.case is not None else range(given.faults or sys.maxsize)
    verdicts = []
    try:
        with tempfile.TemporaryDirectory(prefix="soli-faults-", ignore_cleanup_errors=True) as folder:
            for verdict in tqdm(check(Path(folder), given, numbers), desc="faults", unit="fault", total=given.faults, dynamic_ncols=True):
                verdicts.append(verdict)
                if verdict.outcome == "failed":
                    tqdm.write(told(verdict, given.seed, given.only))
    except KeyboardInterrupt:
        print("Stopped by hand; what was found until then:")
    print(table(verdicts))
    failed = [verdict for verdict in verdicts if verdict.outcome == "failed"]
    for verdict in failed:
        print(told(verdict, given.seed, given.only))
    if given.json is not None:
        given.json.write_text(json.dumps([asdict(verdict) for verdict in verdicts], indent=2) + "\n", encoding="utf-8")
    sys.exit(1 if failed or not verdicts else 0)


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=12.0, help="no fault begins later")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--faults", type=int, help="at most so many")
    parser.add_argument("--only", help=f"some of {','.join(FAULTS)}")
    parser.add_argument("--case", type=int, help="this one alone, as a run with the same seed and --only did it")
    parser.add_argument("--json", type=Path, help="a file for all verdicts")
    given = parser.parse_args()
    given.only = list(FAULTS) if given.only is None else given.only.split(",")
    unknown = [name for name in given.only if name not in FAULTS]
    if unknown:
        parser.error(f"there is no fault {unknown[0]!r}; there are {', '.join(FAULTS)}")
    return given


def check(folder: Path, given: argparse.Namespace, numbers: Sequence[int]) -> Iterator[Verdict]:
    """Does the faults of these numbers one after the other, until the time is over."""
    deadline = time.monotonic() + 60 * given.minutes
    with Warm(folder) as warm:
        laboratory = Laboratory(folder, warm)
        laboratory.prepare()
        for number in numbers:
            if time.monotonic() > deadline:
                return
            yield try_one(laboratory, number, *chosen(number, given.only, given.seed), given.seed)


def chosen(number: int, names: Sequence[str], seed: int) -> tuple[str, str]:
    """The fault and the variant of a case: each round has every fault once, and over the rounds each fault meets every variant."""
    turn, place = divmod(number, len(names))
    variants = list(VARIANTS)
    random.Random(f"{seed}/{names[place]}").shuffle(variants)
    return names[place], variants[turn % len(variants)]


def try_one(laboratory: Laboratory, number: int, fault: str, variant: str, seed: int) -> Verdict:
    """Does a fault to a training, has it go on, and judges both."""
    home = laboratory.folder / f"case{number}"
    home.mkdir()
    case = Case(laboratory, variant, home, random.Random(f"{seed}/{number}/{fault}/{variant}"))
    case.reference  # noqa: B018 - trained before the fault, whose time depends on it
    FAULTS[fault](case)
    case.go_on()
    outcome = "failed" if case.problems else "stopped" if case.stopped else "resumed"
    return Verdict(number, fault, variant, outcome, case.account, case.stopped, case.problems)


def told(verdict: Verdict, seed: int, only: Sequence[str]) -> str:
    """A failure, and the command that repeats it, in a run of these faults."""
    chosen_alone = "" if list(only) == list(FAULTS) else f' --only "{",".join(only)}"'
    what = f"FAILED: {verdict.fault}, {verdict.variant} ({', '.join(verdict.account)}): {'; '.join(verdict.problems)}"
    return f"{what}\n  again: python scripts/fault_check.py --seed {seed}{chosen_alone} --case {verdict.number}"


def table(verdicts: Sequence[Verdict]) -> str:
    """fault x (tried, resumed, stopped, failed), and the sums."""
    names = list(dict.fromkeys(verdict.fault for verdict in verdicts))
    rows = [("fault", *OUTCOMES)]
    for name in [*names, None]:
        outcomes = [verdict.outcome for verdict in verdicts if name in (verdict.fault, None)]
        rows.append((name or "all", str(len(outcomes)), *(str(outcomes.count(outcome)) for outcome in OUTCOMES[1:])))
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return "\n".join("  ".join([row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:]))]) for row in rows)


if __name__ == "__main__":
    main()
