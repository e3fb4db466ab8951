"""METEOR's Java process: kept alive, ended, replaced; and programs that misbehave in its place."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest

from soli.evaluation import CaptionScorer
from soli.evaluation.meteor import Meteor, MeteorUnavailable

needs_java = pytest.mark.skipif(shutil.which("java") is None, reason="METEOR is a Java program, and there is no java on the PATH")
needs_shell = pytest.mark.skipif(not Path("/bin/sh").exists(), reason="stands in for Java with a shell script")


@pytest.fixture(scope="module")
def meteor():
    scorer = Meteor()
    yield scorer
    scorer.close()


@pytest.fixture
def fake_java(tmp_path, monkeypatch):
    """Puts a shell script in Java's place."""

    def write(script: str) -> None:
        (tmp_path / "java").write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        (tmp_path / "java").chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    return write


def is_alive(pid: int) -> bool:
    """Also true of a zombie: nobody has waited for it yet."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@needs_java
def test_one_process_for_all_calls(meteor):
    first = meteor.score(["a dog runs"], [["a dog runs", "two cats"]])
    pid = meteor.pid
    second = meteor.score(["a dog sleeps", "a cat"], [["a dog runs"], ["a cat"]])
    assert meteor.pid == pid and is_alive(pid)
    assert first == 1.0
    assert 0 < second < first


@needs_java
def test_paraphrases_stems_and_synonyms_count(meteor):
    """Without the jar's tables only equal words match."""
    assert meteor.score(["dogs running"], [["dog runs"]]) > 0.3
    assert meteor.score(["a dog"], [["three cats"]]) == 0


@needs_java
@pytest.mark.parametrize("wordless", ["", " ", "|||"])
def test_a_caption_without_words_shifts_nothing(meteor, wordless):
    assert meteor.score([wordless], [["a dog runs"]]) == 0
    assert meteor.score([wordless], [[wordless]]) == 0
    alone = meteor.score(["a dog runs", ""], [["a dog runs"], ["a cat"]])
    assert meteor.score(["a dog ||| runs", wordless], [["a dog\u2028runs\n"], [wordless, "a cat"]]) == pytest.approx(alone)
    assert 0 < alone < 1


@needs_java
def test_a_killed_process_is_reported_and_replaced(meteor):
    meteor.score(["a dog"], [["a dog"]])
    killed = meteor.pid
    os.kill(killed, signal.SIGKILL)
    with pytest.raises(MeteorUnavailable, match="Java program failed"):
        meteor.score(["a dog"], [["a dog"]])
    assert not is_alive(killed) and meteor.pid is None
    meteor.start()
    assert meteor.pid != killed


@needs_java
def test_close_leaves_no_process():
    with CaptionScorer([["a dog"]], ["METEOR"]) as scorer:
        pid = scorer._meteor.pid
        assert is_alive(pid)
    assert not is_alive(pid)
    scorer.close()


def test_without_java(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MeteorUnavailable, match="no `java` on the PATH"):
        Meteor().score(["a dog"], [["a dog"]])


@needs_shell
@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        (
            "echo 'Picked up JAVA_TOOL_OPTIONS: -x' >&2; echo 'UnsupportedClassVersionError: 50.0' >&2; exit 1",
            "UnsupportedClassVersionError: 50",
        ),
        ("exit 0", "Java program failed"),
        ("while read line; do echo 'Error: specify hypothesis'; done", "Error: specify hypothesis"),
        ("exec sleep 60", "no answer within 0.5 seconds"),
        ("trap '' INT TERM; while true; do read line; done", "no answer within 0.5 seconds"),
    ],
)
def test_a_program_that_misbehaves_is_one_sentence(fake_java, script, sentence):
    fake_java(script)
    meteor = Meteor(seconds=0.5 if "no answer" in sentence else 30.0, seconds_per_caption=0)
    started = time.monotonic()
    with pytest.raises(MeteorUnavailable, match=sentence) as raised:
        meteor.score(["a dog"], [["a dog"]])
    assert time.monotonic() - started < 20
    assert "\n" not in str(raised.value) and meteor.pid is None


@needs_shell
def test_more_text_than_a_pipe_holds_does_not_hang(fake_java):
    fake_java("exec sleep 60")
    with pytest.raises(MeteorUnavailable, match="no answer"):
        Meteor(seconds=0.5, seconds_per_caption=0).score(["a dog " * 100_000], [["a dog"]])


@needs_shell
def test_a_failure_is_warned_of_once_and_lasts(fake_java):
    """No table has METEOR in some rows only."""
    fake_java("exit 1")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        scorer = CaptionScorer([["a dog"]], ["METEOR", "ROUGE-L"])
        assert [scorer.score(["a dog"]) for _ in range(2)] == [{"ROUGE-L": 1.0}] * 2
    assert len(caught) == 1 and str(caught[0].message) == scorer.unavailable["METEOR"]


@needs_shell
@pytest.mark.parametrize("end", ["", "raise KeyboardInterrupt", "os.kill(os.getpid(), 15)"])
def test_python_ends_at_once_and_takes_the_process_along(fake_java, end):
    fake_java("read line")  # as Java does, it stops when nobody can write to it any more
    program = f"import os\nfrom soli.evaluation.meteor import Meteor\nm = Meteor()\nm.start()\nprint(m.pid, flush=True)\n{end}"
    started = time.monotonic()
    found = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=60, check=False)
    assert time.monotonic() - started < 45
    deadline = time.monotonic() + 10
    while is_alive(int(found.stdout)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not is_alive(int(found.stdout))


@needs_shell
def test_a_forked_worker_leaves_the_process_alone(fake_java):
    fake_java("exec sleep 60")
    meteor = Meteor()
    meteor.start()
    child = os.fork()
    if child == 0:
        meteor.close()
        os._exit(0)
    os.waitpid(child, 0)
    assert meteor._process.poll() is None
    meteor.close()
