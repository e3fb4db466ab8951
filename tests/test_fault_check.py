"""scripts/fault_check: faults of several kinds, done to real trainings, are survived; and what does not survive them is found."""

import errno
import importlib.util
import json
import os
import random
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

SCRIPTS = Path(__file__).parents[1] / "scripts"
PACKAGE = "fault_check"


def owned(name):
    return name == PACKAGE or name.startswith(f"{PACKAGE}.")


@pytest.fixture(scope="module")
def check():
    """The script as a module, and its package beside it; afterwards no test sees them."""
    sys.path.insert(0, str(SCRIPTS))
    specification = importlib.util.spec_from_file_location("fault_check_script", SCRIPTS / "fault_check.py")
    module = importlib.util.module_from_spec(specification)
    sys.modules[module.__name__] = module  # where dataclasses look for it
    specification.loader.exec_module(module)
    yield module
    sys.path[:] = [path for path in sys.path if path != str(SCRIPTS)]
    for name in [name for name in sys.modules if owned(name) or name == module.__name__]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def laboratory(check, tmp_path_factory):
    folder = tmp_path_factory.mktemp("faults")
    with check.Warm(folder) as warm:
        laboratory = check.Laboratory(folder, warm)
        laboratory.prepare()
        yield laboratory


@pytest.mark.parametrize(
    ("fault", "variant"),
    [
        ("kill -9 at a file operation", "con cached"),
        ("kill -9 in a save", "baseline"),
        ("SIGTERM", "con cached"),
        ("two signals", "baseline"),
        ("SIGSTOP then kill -9", "baseline"),
        ("full disk", "baseline"),
        ("no permission", "con cached"),
        ("photograph vanishes", "baseline"),
        ("NaN in a loss", "baseline"),
        ("second process", "baseline"),
        ("two at once", "baseline"),
    ],
)
def test_a_fault_is_survived(check, laboratory, fault, variant):
    number = 1000 + list(check.FAULTS).index(fault)
    verdict = check.try_one(laboratory, number, fault, variant, seed=0)
    assert verdict.problems == [], check.told(verdict, 0, check.FAULTS)
    assert verdict.outcome in ("resumed", "stopped")


# Defects that are planted in every process: a program, the fault, and what must be found.
IN_PLACE = """
from soli.training import checkpoint
save = checkpoint.save_file
def in_place(tensors, path, metadata):
    save(tensors, path.with_suffix(".safetensors"), metadata)
    save(tensors, path, metadata)
checkpoint.save_file = in_place
"""
UNCUT = "from soli.training import logging\nlogging._drop_after = lambda *_: 0"
FORGETFUL = "from soli.training import checkpoint\ncheckpoint._restore_optimizer = lambda *_: None"
UNCAUGHT = "from soli.training import checkpoint\ncheckpoint.told = None"
HELPLESS = "from soli.training import checkpoint\ncheckpoint.remedy = lambda _: 'Oh'"
SILENT = "import sys\nfrom soli.configuration import console\nconsole.in_one_line = lambda action: console.Outcome(1)"
LEAKING = "import subprocess\nsubprocess.Popen(['sleep', '600'])"
OPEN = "from soli.training.lock import RunLock\nRunLock.take = lambda self, folder: folder.mkdir(parents=True, exist_ok=True)"
SLOW = """
import time
from soli.training.checkpoint import Progress
count = Progress.count_step
def slowly(self):
    time.sleep(0.3)
    count(self)
Progress.count_step = slowly
"""
REFUSED = {"refuse": [errno.EACCES, 12]}  # amid the training


@pytest.mark.parametrize(
    ("plant", "inject", "found"),
    [
        (IN_PLACE, {"kill in save": [2, "half written"]}, "is damaged"),
        (UNCUT, {"kill in save": [2, "written"]}, "metrics.jsonl differs"),
        (FORGETFUL, {"kill in save": [2, "written"]}, "last.safetensors differs"),
        (UNCAUGHT, REFUSED, "it says 'Traceback'"),
        (HELPLESS, REFUSED, "its sentence lacks 'permission to'"),
        (SILENT, {}, "it stops without a word"),
        (LEAKING, {"kill in save": [0, "written"]}, "1 processes outlive it"),
    ],
)
def test_a_planted_defect_is_found(check, laboratory, tmp_path, monkeypatch, plant, inject, found):
    from fault_check import cases

    laboratory.reference("baseline")
    monkeypatch.setattr(laboratory.warm, "plant", plant)
    monkeypatch.setattr(cases, "LINGERING", 0.1)
    case = check.Case(laboratory, "baseline", tmp_path, random.Random(0))
    case.wait(case.begin(inject), {0, 1, -9}, ("permission to",))
    if not case.problems:
        case.go_on()
    assert any(found in problem for problem in case.problems), case.problems


def test_two_trainings_in_one_folder_are_found(check, laboratory, monkeypatch):
    laboratory.reference("baseline")
    monkeypatch.setattr(laboratory.warm, "plant", OPEN + SLOW)  # the first one is still at work when the second one comes
    verdict = check.try_one(laboratory, 2000, "second process", "baseline", seed=0)
    assert verdict.outcome == "failed" and "two trainings shared a run folder" in verdict.problems


def test_each_fault_meets_every_variant_and_a_case_is_repeated_by_its_number(check):
    names = list(check.FAULTS)
    first = [check.chosen(number, names, 4) for number in range(len(names) * len(check.VARIANTS))]
    assert len(set(first)) == len(first) and {fault for fault, _ in first[: len(names)]} == set(names)
    assert first == [check.chosen(number, names, 4) for number in range(len(first))]


@pytest.fixture
def verdicts(check):
    return [
        check.Verdict(0, "SIGTERM", "par", "resumed"),
        check.Verdict(1, "SIGINT", "con", "stopped", sentence="Stopped"),
        check.Verdict(2, "SIGTERM", "aug", "failed", ["after 1 s"], problems=["it hangs"]),
    ]


def test_a_failure_ends_with_exit_code_1_and_the_line_that_repeats_it(check, verdicts, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(check, "check", lambda *_: iter(verdicts))
    monkeypatch.setattr(sys, "argv", ["fault_check.py", "--seed", "7", "--json", str(tmp_path / "found.json")])
    monkeypatch.setattr(check.signal, "signal", lambda *_: None)
    with pytest.raises(SystemExit) as end:
        check.main()
    said = capsys.readouterr().out
    assert end.value.code == 1 and "python scripts/fault_check.py --seed 7 --case 2" in said and "it hangs" in said
    rows = [line.split() for line in said.splitlines()]
    assert ["SIGTERM", "2", "1", "0", "1"] in rows and ["all", "3", "1", "1", "1"] in rows
    assert [verdict["outcome"] for verdict in json.loads((tmp_path / "found.json").read_text())] == ["resumed", "stopped", "failed"]


def test_an_unknown_fault_is_refused_with_the_list(check, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["fault_check.py", "--only", "full dsk"])
    with pytest.raises(SystemExit) as end:
        check.read_arguments()
    said = capsys.readouterr().err
    assert end.value.code == 2 and "full dsk" in said and "full disk" in said


@pytest.mark.parametrize(
    ("status", "complaint", "found"),
    [
        (0, "", []),
        (1, "a bar\rerror: The disk is full. Free some space.\n", []),
        (1, "error: The disk is full.\n", ["its sentence lacks 'free some space'"]),
        (130, "Interrupted.\n", []),
        (130, "\n", ["it stops without a word"]),
        (1, "Traceback (most recent call last):\nerror: free some space", ["it says 'Traceback'"]),
        (3, "", ["exit code 3"]),
    ],
)
def test_an_end_is_judged_by_its_code_and_its_sentence(check, status, complaint, found):
    from fault_check.judging import complaints

    training = SimpleNamespace(status=status, said="", complained=complaint)
    problems = complaints(training, {0, 1, 130}, ("free some space",))
    assert len(problems) == len(found) and all(part in problem for part, problem in zip(found, problems, strict=True))


def test_operations_are_those_that_write_below_the_folder(check, tmp_path):
    from fault_check.injections import writes

    assert writes("w", 0) and writes("r+b", 0) and writes(None, os.O_CREAT) and not writes("rb", 0) and not writes(None, os.O_RDONLY)
