"""SPICE where its files are missing, and with a program in the place of Java."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from soli.evaluation import CaptionScorer
from soli.evaluation import spice as module
from soli.evaluation.spice import JAR, MODELS, SpiceUnavailable, spice
from tests.processes import HAS_PROC, LIGHT, ends

REFERENCES = [["a dog runs"], ["two men sit", "men on a bench"]]
ANSWER = "import json,sys; a=sys.argv; captions=json.load(open(a[4])); json.dump([{'image_id': c['image_id'], 'scores': {'All': {'f': "


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Empty files in the place of the models, and a Python program in the place of Java."""
    (tmp_path / "lib").mkdir()
    for name in (JAR, *(f"lib/{model}" for model in MODELS)):
        (tmp_path / name).touch()
    monkeypatch.setattr(module, "spice_folder", lambda: tmp_path)

    def install(script: str) -> None:
        java = tmp_path / "java"
        java.write_text(f"#!/usr/bin/env python3\n{script}\n")
        java.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    return install


def test_without_its_files_the_other_metrics_are_reported():
    with pytest.warns(UserWarning, match="SPICE is not reported: .*stanford-corenlp.*put .* there"):
        scorer = CaptionScorer(REFERENCES, ["SPICE", "CIDEr"])
    assert list(scorer.score(["a dog", "men"])) == ["CIDEr"] and "corenlp" in scorer.unavailable["SPICE"]


def test_scores_are_those_of_the_program_in_the_order_of_the_photographs(installed):
    """The stand-in scores a caption by its number of letters, and answers in reverse."""
    installed(f"{ANSWER}len(c['test']) / 10 + len(c['refs'])}}}}}} for c in captions[::-1]], open(a[8], 'w'))")
    assert spice(["a dog", "men"], REFERENCES) == [pytest.approx(0.5 + 1), pytest.approx(0.3 + 2)]


def test_a_caption_without_a_score_counts_nothing(installed):
    installed(f"{ANSWER}float('nan')}}}}}} for c in captions], open(a[8], 'w'))")
    assert spice(["a dog", "men"], REFERENCES) == [0.0, 0.0]


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("import sys; sys.exit('Error: Could not find or load main class')", "Could not find"),
        ("pass", "no scores"),
        ("open(__import__('sys').argv[8], 'w').write('[]')", "no scores"),
        ("open(__import__('sys').argv[8], 'w').write('[' * 100_000)", "no scores .*nested too deep"),
    ],
)
def test_a_failing_program_is_one_sentence(installed, script, said):
    installed(script)
    with pytest.raises(SpiceUnavailable, match=said):
        spice(["a dog", "men"], REFERENCES)


def test_nothing_is_left_in_the_package(installed, tmp_path):
    before = sorted(path.name for path in Path(tmp_path).rglob("*"))
    installed(f"{ANSWER}1.0}}}}}} for c in captions], open(a[8], 'w'))")
    spice(["a dog", "men"], REFERENCES)
    assert sorted(path.name for path in Path(tmp_path).rglob("*")) == sorted([*before, "java"])


SLEEPS = "import os, subprocess, time; open('{note}.new', 'w').write(f'{{os.getpid()}} {{subprocess.Popen([\"sleep\", \"600\"]).pid}}')\n"
SLEEPS += "os.rename('{note}.new', '{note}'); time.sleep(600)"
needs_proc = pytest.mark.skipif(not HAS_PROC, reason="reads Linux's /proc")


@needs_proc
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_program_does_not_outlive_us_however_we_end(installed, tmp_path, number):
    note = tmp_path / "pids"
    installed(SLEEPS.format(note=note))
    program = f"{LIGHT}\nimport pathlib\nfrom soli.evaluation import spice\n"
    program += f"spice.spice_folder = lambda: pathlib.Path({str(tmp_path)!r})\nspice.spice(['a dog'], [['a dog']])"
    with subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL) as process:
        while not note.exists():
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(number)
    assert ends(*map(int, note.read_text().split()))


@needs_proc
def test_a_program_that_takes_too_long_is_ended_with_its_children(installed, tmp_path, monkeypatch):
    note = tmp_path / "pids"
    installed(SLEEPS.format(note=note))
    plain = subprocess.Popen.communicate

    def impatient(self, timeout):
        while not note.exists():
            time.sleep(0.02)
        return plain(self, timeout=0.01)

    monkeypatch.setattr(subprocess.Popen, "communicate", impatient)
    with pytest.raises(SpiceUnavailable, match="TimeoutExpired"):
        spice(["a dog"], REFERENCES[:1])
    assert ends(*map(int, note.read_text().split()))
