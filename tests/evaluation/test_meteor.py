"""METEOR's process: one for many sets of captions, gone when it is closed, and never waited for without end."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from soli.evaluation import CaptionScorer
from soli.evaluation.meteor import Meteor, MeteorUnavailable
from soli.evaluation.statistics import Statistics, unfragmented
from tests.processes import LIGHT, ends, is_alive, is_known

needs_java = pytest.mark.skipif(shutil.which("java") is None, reason="METEOR needs Java, which is not installed")
needs_shell = pytest.mark.skipif(not Path("/bin/sh").exists(), reason="a shell script stands in for Java")
REFERENCES = [["a dog runs on grass", "a brown dog is running"], ["two men sit", "men on a bench"]]
HYPOTHESES = ["a dog is running", "two men on a bench"]


@pytest.fixture(scope="module")
def meteor():
    meteor = Meteor()
    yield meteor
    meteor.close()


@pytest.fixture
def fake_java(tmp_path, monkeypatch):
    """Puts a shell script in the place of Java."""

    def install(script: str) -> None:
        (tmp_path / "java").write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        (tmp_path / "java").chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    return install


def score(meteor: Meteor, hypotheses: list[str], references: list[list[str]]) -> float:
    return Statistics({"METEOR": unfragmented(meteor.statistics(hypotheses, references))}).scores()["METEOR"]


@needs_java
def test_one_process_scores_many_sets_of_captions(meteor):
    first = score(meteor, HYPOTHESES, REFERENCES)
    pid = meteor.pid
    worse = score(meteor, ["a cat", "a cat"], REFERENCES)
    assert score(meteor, HYPOTHESES, REFERENCES) == first > worse
    assert meteor.pid == pid


@needs_java
def test_a_caption_equal_to_a_reference_has_the_full_score(meteor):
    assert score(meteor, ["a dog runs over the green grass"], [["two cats", "a dog runs over the green grass"]]) == 1.0
    assert score(meteor, ["a dog runs over the green grass"], [["two cats", "zebras graze"]]) == 0.0


@needs_java
@pytest.mark.parametrize(("alike", "other"), [("a big dog jumped", "a big dog slept"), ("a large dog jumps", "a striped dog jumps")])
def test_stems_and_synonyms_count(meteor, alike, other):
    """Only with the jar's tables: to the other metrics both are equally far."""
    assert score(meteor, [alike], [["a big dog jumps"]]) > score(meteor, [other], [["a big dog jumps"]])


@needs_java
@pytest.mark.parametrize("wordless", ["", " ", "\u2028", "|||"])
def test_a_caption_without_words_scores_nothing_and_moves_no_other(meteor, wordless):
    assert score(meteor, [wordless], [["a dog runs"]]) == 0.0
    assert score(meteor, ["a dog runs"], [[wordless]]) == 0.0
    assert score(meteor, [wordless], [[wordless]]) == 0.0
    pair = score(meteor, [HYPOTHESES[0], ""], [REFERENCES[0], ["a cat"]])
    assert score(meteor, [HYPOTHESES[0], wordless], [REFERENCES[0], ["a cat"]]) == pair > 0.0


@needs_java
@pytest.mark.parametrize("between", [" ||| ", "\n", "\u2028", "\r", "\r\n", "|||"])
def test_no_caption_is_taken_for_two(meteor, between):
    broken = [caption.replace(" ", between, 1) for caption in HYPOTHESES]
    references = [[caption.replace(" ", between, 1) for caption in captions] for captions in REFERENCES]
    assert score(meteor, broken, references) == score(meteor, HYPOTHESES, REFERENCES)


@needs_java
def test_letters_of_every_script_are_read_and_half_characters_do_no_harm(meteor):
    assert score(meteor, ["un café près du 日本"], [["un café près du 日本"]]) == 1.0
    assert score(meteor, ["un café près du 日本"], [["un caf\u00e8 près du 日本"]]) < 1.0
    assert score(meteor, ["a dog \ud83d runs"], [["a dog runs"]]) > 0.0


@needs_java
def test_a_process_that_was_killed_is_reported_and_the_next_call_starts_another(meteor):
    meteor.start()
    killed = meteor.pid
    os.kill(killed, signal.SIGKILL)
    with pytest.raises(MeteorUnavailable, match="Java program failed"):
        score(meteor, HYPOTHESES, REFERENCES)
    assert not is_known(killed)
    assert meteor.pid is None
    meteor.start()
    assert meteor.pid not in (None, killed)


@needs_java
def test_a_closed_process_is_gone():
    meteor = Meteor()
    meteor.start()
    pid = meteor.pid
    meteor.close()
    assert meteor.pid is None
    assert not is_known(pid)
    meteor.close()  # a second time does nothing


@needs_shell
@pytest.mark.parametrize(
    "end",
    ["", "raise KeyboardInterrupt", "raise SystemExit(3)", "1 / 0", "os._exit(3)", "os.kill(os.getpid(), 15)", "os.kill(os.getpid(), 9)"],
)
@pytest.mark.parametrize("busy", ["read line", "exec /bin/sleep 600", "/bin/sleep 600"])
def test_python_ends_at_once_and_takes_the_process_along(fake_java, end, busy):
    """Also one that does not look whether anybody can still write to it."""
    fake_java(busy)
    program = f"{LIGHT}\nimport os\nfrom soli.evaluation.meteor import Meteor\nm = Meteor()\nm.start()\nprint(m.pid, flush=True)\n{end}"
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=30, check=False)
    assert ends(int(done.stdout))


LOADING = "print(m.pid, flush=True)\ninput()"
BUSY = """
m.statistics(['a dog'], [['a dog']])
threading.Thread(target=lambda: m.statistics(['a dog runs on the grass'] * 100_000, [['two dogs run over green grass']] * 100_000)).start()
time.sleep(0.1)
print(m.pid, flush=True)
"""


@needs_java
def test_java_does_not_outlive_a_python_that_is_killed_while_it_loads_or_works():
    """The two are killed side by side."""
    begin = f"{LIGHT}\nimport threading, time\nfrom soli.evaluation.meteor import Meteor\nm = Meteor()\nm.start()\n"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    parents = [subprocess.Popen([sys.executable, "-c", begin + state], **pipes) for state in (LOADING, BUSY)]
    pids = []
    for parent in parents:
        pids.append(int(parent.stdout.readline()))
        assert is_alive(pids[-1])
        parent.kill()
        parent.communicate()
    ends(*pids, seconds=300)
    left = [pid for pid in pids if is_alive(pid)]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left


@needs_shell
def test_a_fork_of_the_interpreter_leaves_the_process_alone(fake_java):
    fake_java("exec /bin/sleep 60")
    meteor = Meteor()
    meteor.start()
    program = os.fork()
    if program == 0:
        meteor.close()
        os._exit(0)
    os.waitpid(program, 0)
    assert is_alive(meteor.pid)
    meteor.close()


def test_without_java_the_sentence_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MeteorUnavailable, match="needs Java.*install"):
        Meteor().start()


def test_without_java_the_other_metrics_are_reported_with_one_warning(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.warns(UserWarning, match="METEOR is not reported") as warned, CaptionScorer(REFERENCES) as scorer:
        first, second = scorer.score(HYPOTHESES), scorer.score(HYPOTHESES)
    assert first == second
    assert list(first) == ["BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L", "CIDEr"]
    assert list(scorer.unavailable) == ["METEOR"]
    assert len(warned) == 1


@needs_shell
@pytest.mark.parametrize("script", ["exec /bin/sleep 60", "/bin/sleep 60", "trap '' INT TERM; while true; do read line; done"])
@pytest.mark.parametrize("captions", [HYPOTHESES, ["a dog " * 100_000, "more than a pipe holds"]])
def test_a_process_that_does_not_answer_is_ended_in_time(fake_java, script, captions):
    fake_java(script)
    meteor = Meteor(seconds=0.5, seconds_per_caption=0.0)
    meteor.start()
    pid, started = meteor.pid, time.monotonic()
    with pytest.raises(MeteorUnavailable, match="no answer within 0.5 seconds"):
        score(meteor, captions, REFERENCES)
    assert time.monotonic() - started < 20
    assert not is_known(pid)


@needs_shell
@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("exit 0", "failed"),
        (
            "echo 'Picked up JAVA_TOOL_OPTIONS: -x' >&2; echo 'UnsupportedClassVersionError: 50.0' >&2; exit 1",
            "UnsupportedClassVersionError",
        ),
        ("echo 'Error occurred during initialization of VM'; exit 1", "Error occurred during initialization"),
        ("while read line; do echo 'Error: specify hypothesis'; done", "Error: specify hypothesis"),
        ("while read line; do echo nonsense; echo nonsense; done", "nonsense"),
        ("while read line; do echo NaN; echo NaN; done", "answered 'NaN'"),
    ],
)
def test_what_a_failing_process_says_is_passed_on_in_one_sentence(fake_java, script, said):
    fake_java(script)
    meteor = Meteor(seconds=30.0)
    with pytest.raises(MeteorUnavailable, match=said) as raised:
        score(meteor, ["a dog"], [["a dog"]])
    assert "\n" not in str(raised.value)
    assert meteor.pid is None


def test_a_java_that_is_no_program_is_reported(fake_java, tmp_path):
    fake_java("")
    (tmp_path / "java").write_text("#!/no/such/interpreter\n", encoding="utf-8")
    with pytest.raises(MeteorUnavailable, match="cannot be started"):
        Meteor().start()


@needs_shell
def test_a_failure_is_warned_of_once_and_lasts_so_that_no_table_has_meteor_in_some_rows_only(fake_java):
    fake_java("exit 1")
    with pytest.warns(UserWarning, match="METEOR is not reported") as warned, CaptionScorer(REFERENCES, ["METEOR", "CIDEr"]) as scorer:
        assert [list(scorer.score(HYPOTHESES)) for _ in range(2)] == [["CIDEr"]] * 2
    assert [str(warning.message) for warning in warned] == list(scorer.unavailable.values())
