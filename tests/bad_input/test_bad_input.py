"""Every mistake of the tables gets a sentence that names it and says what to do; nothing is written, and nothing is lost."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.bad_input import (
    asking,
    caption_files,
    captioning,
    choices_and_keys,
    damaged_runs,
    evaluating,
    exporting,
    folders,
    python_calls,
    python_data,
    scripts,
    starts,
    training_settings,
    workplace,
)

THEMES = [
    caption_files,
    captioning,
    choices_and_keys,
    damaged_runs,
    evaluating,
    exporting,
    folders,
    python_calls,
    python_data,
    scripts,
    starts,
    training_settings,
]
CASES = [pytest.param(*case, id=f"{theme.__name__.rpartition('.')[2]}: {case[0]}") for theme in THEMES for case in theme.CASES]
OF_PROGRAMMERS = re.compile(
    r"Traceback|NoneType|not subscriptable|has no attribute|KeyError|TypeError|IndexError|ValueError|AssertionError| object at 0x|<class|site-packages"
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """The folder in which all lines are typed, and what it holds."""
    folder, before = tmp_path_factory.mktemp("workplace"), Path.cwd()
    try:
        workplace.build(folder, THEMES)
    finally:
        os.chdir(before)
    return folder, workplace.snapshot(folder)


@pytest.mark.parametrize(("line", "culprit", "remedy"), CASES)
def test_a_mistake_gets_a_sentence(place, monkeypatch, capfd, line: str, culprit: str, remedy: str) -> None:
    folder, before = place
    monkeypatch.chdir(folder)
    answer = asking.ask(line, monkeypatch, capfd)
    assert answer.code in (1, 2), (answer.code, answer.out)
    message = answer.err[answer.err.rindex("error: ") :]
    assert culprit in message and remedy in message, message
    assert not OF_PROGRAMMERS.search(answer.err + answer.out), answer.err
    assert workplace.snapshot(folder) == before


def test_the_tables_are_large_and_nothing_is_in_them_twice() -> None:
    lines = [case[0] for theme in THEMES for case in theme.CASES]
    assert len(lines) >= 200 and len(set(lines)) == len(lines)
    for command in (*asking.COMMANDS, "linear_probe", "hard_negatives", "python"):
        assert sum(line.partition(" ")[0] == command for line in lines) >= 5
