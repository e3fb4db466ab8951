"""The Makefile's environment: built once, again after a change, and a sentence for every way in which it cannot be built."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
# An interpreter that writes down what it is asked, makes environments that hold a copy of itself, and fails where it is told to.
PYTHON = """#!/bin/sh
echo "$*" >> calls.txt
case "$*" in
  -V) echo "Python $(cat version.txt)" ;;
  *version_info*) test "$(cat version.txt)" != 3.9.2 ;;
  *ensurepip*) test ! -e no-venv ;;
  "-m venv "*) mkdir -p "$3/bin" && touch "$3/pyvenv.cfg" && cp "$0" "$3/bin/python" ;;
  *"pip install"*) test ! -e no-network ;;
esac
"""

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in ("Makefile", "pyproject.toml", "constraints.txt", "constraints-oldest.txt"):
        shutil.copy(REPOSITORY / name, tmp_path / name)
    (tmp_path / "python").write_text(PYTHON, encoding="utf-8")
    (tmp_path / "python").chmod(0o755)
    (tmp_path / "version.txt").write_text("3.11.7", encoding="utf-8")
    return tmp_path


def make(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs make as from a fresh shell, though make may have started these tests; the calls of the interpreter are in calls.txt."""
    (project / "calls.txt").unlink(missing_ok=True)
    return subprocess.run(["make", *arguments], cwd=project, capture_output=True, text=True, env={"PATH": os.environ["PATH"]})


def installs(project: Path) -> int:
    calls = project / "calls.txt"
    return len(re.findall("pip install", calls.read_text(encoding="utf-8"))) if calls.exists() else 0


def make_newer(path: Path) -> None:
    later = path.stat().st_mtime + 10_000
    os.utime(path, (later, later))


def test_bare_make_lists_every_target() -> None:
    targets = re.search(r"^\.PHONY: (.*)$", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    answer = make(REPOSITORY)
    assert [line.split()[0] for line in answer.stdout.splitlines()[1:]] == targets.group(1).split()


def test_environment_is_built_once(project: Path) -> None:
    assert make(project, "install", "PYTHON=./python").returncode == 0
    assert installs(project) == 1
    assert make(project, "install", "PYTHON=./python").returncode == 0
    assert installs(project) == 0


@pytest.mark.parametrize("changed", ["pyproject.toml", "constraints.txt"])
def test_environment_follows_a_change(project: Path, changed: str) -> None:
    make(project, "install", "PYTHON=./python")
    make_newer(project / changed)
    assert make(project, "install", "PYTHON=./python").returncode == 0
    assert installs(project) == 1


def test_the_oldest_versions_have_an_environment_of_their_own(project: Path) -> None:
    assert make(project, "test-oldest", "PYTHON=./python", "PROCESSES=0").returncode == 0
    assert (project / ".venv-oldest").is_dir() and not (project / ".venv").exists()
    calls = (project / "calls.txt").read_text(encoding="utf-8")
    assert "--constraint constraints-oldest.txt" in calls and "--constraint constraints.txt" not in calls
    assert "-m pytest" in calls.splitlines()[-1]


def test_environment_of_another_python_is_replaced(project: Path) -> None:
    make(project, "install", "PYTHON=./python")
    leftover = project / ".venv" / "leftover"
    leftover.touch()
    make_newer(project / "constraints.txt")
    make(project, "install", "PYTHON=./python")
    assert leftover.exists()
    make_newer(project / "pyproject.toml")
    (project / ".venv" / "bin" / "python").write_text("#!/bin/sh\necho Python 3.11.6\n", encoding="utf-8")
    make(project, "install", "PYTHON=./python")
    assert not leftover.exists()
    assert (project / ".venv" / "bin" / "python").exists()


@pytest.mark.parametrize(
    ("hindrance", "content", "sentence"),
    [
        ("version.txt", "3.9.2", "soli needs Python 3.11 or newer, and ./python is Python 3.9.2"),
        ("no-venv", "", "./python cannot make environments"),
        ("no-network", "", "The installation failed"),
    ],
)
def test_a_hindrance_is_said_in_a_sentence(project: Path, hindrance: str, content: str, sentence: str) -> None:
    (project / hindrance).write_text(content, encoding="utf-8")
    answer = make(project, "install", "PYTHON=./python")
    assert answer.returncode != 0
    assert sentence in answer.stdout
    (project / hindrance).write_text("3.11.7", encoding="utf-8") if content else (project / hindrance).unlink()
    assert make(project, "install", "PYTHON=./python").returncode == 0  # nothing half-built counts as built
    assert installs(project) == 1


def test_a_missing_python_is_said_in_a_sentence(project: Path) -> None:
    answer = make(project, "install", "PYTHON=no-such-python")
    assert answer.returncode != 0
    assert "There is no no-such-python here" in answer.stdout


@pytest.mark.parametrize("there", [(), ("toy",), ("toy", "toy_par")])
def test_training_goes_on_with_the_toy_runs_that_are_there(project: Path, there: tuple[str, ...]) -> None:
    for run in there:
        (project / "runs" / run).mkdir(parents=True)
        (project / "runs" / run / "config.yaml").write_text("precious", encoding="utf-8")
    assert make(project, "train", "PYTHON=./python").returncode == 0
    assert all((project / "runs" / run / "config.yaml").read_text(encoding="utf-8") == "precious" for run in there)
    commands = (project / "calls.txt").read_text(encoding="utf-8").splitlines()[-4:]
    trained = [f"train resume=runs/{run}" if run in there else f"train experiment={run}" for run in ("toy", "toy_par")]
    assert commands == [f"-m soli.{command}" for command in (*trained, "evaluate run=runs/toy", "evaluate run=runs/toy_par")]


def test_failing_tests_fail_make(project: Path) -> None:
    make(project, "install", "PYTHON=./python")
    (project / ".venv" / "bin" / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n', encoding="utf-8")
    (project / "tests").mkdir()
    (project / "tests" / "test_wrong.py").write_text("def test_wrong() -> None:\n    raise AssertionError\n", encoding="utf-8")
    answer = make(project, "test", "PYTHON=./python", "PROCESSES=0")
    assert answer.returncode != 0
    assert "1 failed" in answer.stdout
