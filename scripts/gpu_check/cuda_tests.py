"""The tests that need a CUDA device, `pytest -m cuda`: how many passed. On a CPU they are collected only.

PYTHONPATH=.:scripts/benchmark python scripts/gpu_check/cuda_tests.py [--cpu] [--output FILE]

Only files that hold such tests are read, so that no other's imports are needed. Fails when a test does, and when there is none.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence

from section import ROOT, Section

OUTCOME = re.compile(r"^(tests/\S.*?) (PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS)\b")
COLLECTED = re.compile(r"^tests/\S+::")


def main() -> None:
    section = Section.begin(__doc__, seconds=80)
    files = files_with_tests()
    section.tell("files", files)
    succeeded = collect(section, files) if section.toy else run(section, files)
    sys.exit(not succeeded)


def files_with_tests() -> list[str]:
    """Those that mark a test with `cuda`."""
    paths = (path for path in sorted((ROOT / "tests").rglob("test_*.py")) if path.name != "test_gpu_check.py")
    return [path.relative_to(ROOT).as_posix() for path in paths if "pytest.mark.cuda" in path.read_text(encoding="utf-8")]


def collect(section: Section, files: Sequence[str]) -> bool:
    """Whether there are tests, and all can be imported."""
    lines, status = [], []
    for line in pytest(["--collect-only", "-q", *files], status):
        lines.append(line)
    number = sum(bool(COLLECTED.match(line)) for line in lines)
    if status != [0]:
        section.say("\n".join(lines[-20:]))
    section.add("tests collected", number)
    return status == [0] and number > 0


def run(section: Section, files: Sequence[str]) -> bool:
    """Whether all passed. What is known is written after each, so that a test that hangs hides no other."""
    counts, others, status = Counter(), [], []
    for line in pytest(["-v", "--tb=short", "--continue-on-collection-errors", *files], status):
        section.say(line)
        if found := OUTCOME.match(line):
            counts[found[2]] += 1
            others += [found[1]] if found[2] != "PASSED" else []
            section.tell("outcomes", {"counts": counts, "not passed": others, "last": found[1]})
    total = counts.total()
    section.add("tests passed", counts["PASSED"])
    section.add("share of tests that passed", counts["PASSED"] / total if total else 0.0, wanted=1.0)
    return status == [0] and counts["PASSED"] > 0


def pytest(options: Sequence[str], status: list[int]) -> Iterator[str]:
    """The lines of `pytest -m cuda` as they come; at the end its exit code is in `status`."""
    command = [sys.executable, "-u", "-m", "pytest", "-m", "cuda", "--color=no", "-p", "no:cacheprovider", *options]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace") as process:
        for line in process.stdout:
            yield line.rstrip()
    status.append(process.returncode)


if __name__ == "__main__":
    main()
