"""Output whose reader may be gone: nothing is written for a while, and then only what somebody reads."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import runpy, sys

silence = runpy.run_path(sys.argv[1])["Silence"]()
print("before", flush=False)
silence.begin()
silence.begin()
print("amid", flush=True)
sys.stdin.readline()
print("amid", file=sys.stderr, flush=True)
silence.end()
print("after", flush=True)
print("after", file=sys.stderr, flush=True)
"""
SILENCE = Path(__file__).parents[2] / "soli" / "training" / "silence.py"


def start(stdout, stderr):
    return subprocess.Popen([sys.executable, "-c", PROGRAM, SILENCE], stdin=subprocess.PIPE, stdout=stdout, stderr=stderr, text=True)


def test_who_reads_to_the_end_misses_what_was_said_amid():
    process = start(subprocess.PIPE, subprocess.PIPE)
    assert process.communicate("go on\n", timeout=60) == ("before\nafter\n", "after\n") and process.returncode == 0


def test_files_get_everything(tmp_path):
    with open(tmp_path / "out", "w") as out, open(tmp_path / "err", "w") as err:
        start(out, err).communicate("go on\n", timeout=60)
    assert (tmp_path / "out").read_text() == "before\namid\nafter\n" and (tmp_path / "err").read_text() == "amid\nafter\n"


@pytest.mark.parametrize("kind", ["pipe", "terminal"])
def test_a_reader_that_is_gone_is_no_error(kind):
    ours, theirs = os.pipe() if kind == "pipe" else os.openpty()
    process = start(theirs, theirs)
    os.close(theirs)
    said = b""
    while not said.endswith(b"\n"):
        said += os.read(ours, 100)
    os.close(ours)
    process.communicate("go on\n", timeout=60)
    assert process.returncode == 0
