"""scripts/long_run_check.py: what it sees of a process from outside, what counts as growth, and its verdict on one that grows."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[1] / "scripts"

needs_proc = pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="reads Linux's /proc")
pytestmark = needs_proc


@pytest.fixture
def script(monkeypatch):
    """Imports a file of scripts/long_run, or the command, as when it is run; afterwards no test sees it."""
    monkeypatch.syspath_prepend(SCRIPTS)
    monkeypatch.syspath_prepend(SCRIPTS / "long_run")
    names = ("process_tree", "growth", "long_run_check")
    yield importlib.import_module
    for name in names:
        sys.modules.pop(name, None)


GROWING = """
import subprocess, sys, threading
kept = []
for line in sys.stdin:
    kept.append([bytearray(b"x" * (40 << 20)), [open("/dev/null") for _ in range(10)], subprocess.Popen(["sleep", "600"])])
    for _ in range(3):
        threading.Thread(target=threading.Event().wait, daemon=True).start()
    print("more", flush=True)
kept[0][2].kill(), kept[0][2].wait()
"""


def test_what_a_process_holds_is_seen_from_outside(script):
    look = script("process_tree").look
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(
        [sys.executable, "-c", GROWING.replace("kept = []", "kept = []; print('begun', flush=True)")], **pipes
    ) as process:
        process.stdout.readline()
        before = look(process.pid)
        process.stdin.write("\n")
        process.stdin.flush()
        process.stdout.readline()
        after = look(process.pid)
        process.stdin.close()
    assert 39 << 20 < after.training.anonymous - before.training.anonymous < 60 << 20
    assert 39 << 20 < after.training.resident - before.training.resident < 60 << 20
    assert after.training.files - before.training.files == 10 and after.training.threads - before.training.threads == 3
    assert (before.processes, after.processes) == (1, 2) and len(after.workers) == 1 and not after.java


def samples(script, resident=lambda step: 1000, **changes):
    """A look at each of 300 steps of a training whose memory is a function of the step."""
    tree = script("process_tree")
    own = {"files": 4, "threads": 2, **{name: value for name, value in changes.items() if name != "processes"}}
    made = []
    for step in range(1, 301):
        counts = {name: value(step) if callable(value) else value for name, value in own.items()}
        workers = (tree.Held(50, 40, 3, 1),) if step % 3 else ()
        processes = changes.get("processes", lambda step: 1)(step) + len(workers)
        made.append(tree.Sample(step, tree.Held(resident(step), resident(step), **counts), (), workers, processes))
    return made


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, []),
        ({"resident": lambda step: 500 + min(step, 75) * 10}, []),  # it warms up
        ({"resident": lambda step: 1000 + step % 7}, []),
        ({"resident": lambda step: 1000 + 5 * (step // 50)}, []),  # 1.5 %
        ({"resident": lambda step: 1000 + step // 5}, ["training resident", "training anonymous", "tree resident", "tree anonymous"]),
        ({"files": lambda step: 4 + step % 2}, []),
        ({"files": lambda step: 4 + step // 100}, ["training files"]),
        ({"threads": lambda step: 2 + step // 200}, ["training threads"]),
        ({"processes": lambda step: 1 + step // 200}, ["tree processes"]),
        ({"files": lambda step: 4 if step < 300 else 0}, []),  # at its end it closes all
    ],
)
def test_growth_is_told_from_what_comes_and_goes(script, changes, found):
    growth = script("growth")
    rows = growth.compare(samples(script, **changes), 300)
    sentences = growth.grown({"some": {"rows": rows}})
    assert [sentence.partition(":")[0].removeprefix("some, ") for sentence in sentences] == found
    assert len(growth.table({"some": {"rows": rows}}).splitlines()) == 1 + len(rows)


def test_too_few_looks_are_no_verdict(script):
    with pytest.raises(RuntimeError, match="Only"):
        script("growth").compare(samples(script)[::20], 300)


STEPS = """
import json, sys, time
folder = sys.argv[-1].partition("=")[2]
kept, base = [], bytearray(b"x" * (30 << 20))
with open(f"{folder}.jsonl", "w") as log:
    for step in range(1, 201):
        kept += [b"x" * int(sys.argv[1])]
        print(json.dumps({"step": step}), file=log, flush=True)
        time.sleep(0.03)
"""


@pytest.mark.parametrize(("leak", "code"), [(0, 0), (30_000, 1)])
def test_the_command_tells_a_training_that_grows(script, monkeypatch, capsys, tmp_path, leak, code):
    check, tree = script("long_run_check"), script("process_tree")
    monkeypatch.setattr(script("growth"), "FEWEST", 3)
    monkeypatch.setattr(check, "TRAIN", [sys.executable, "-c", STEPS, str(leak)])
    monkeypatch.setattr(check, "TRAININGS", {"some": ()})
    monkeypatch.setattr(check, "watch", lambda process, log, _interval: tree.watch(process, Path(f"{log.parent}.jsonl"), 0.005))
    assert check.main(["--steps", "200", "--output", str(tmp_path / "report.json")]) == code
    assert ("It grows: some, training anonymous" in capsys.readouterr().out) == bool(code)
    assert (tmp_path / "report.json").is_file()
