"""Every mistake of the tables gets a sentence that names it and says what to do; nothing is written, and nothing is lost."""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from omegaconf import DictConfig

from soli.configuration.loading import CheckedLoader
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
    r"Traceback|NoneType|not subscriptable|has no attribute|KeyError|TypeError|IndexError|ValueError|AssertionError| object at 0x|<class"
)


@pytest.fixture(scope="module", autouse=True)
def quick_configs() -> Iterator[None]:
    """What Hydra makes of the choices of groups is made once for all lines that choose the same."""
    made = {}

    def load(loader: CheckedLoader, name: str, overrides: list[str], mode: object) -> DictConfig:
        key = (name, tuple(overrides), mode)
        if key not in made:
            made[key] = compose(loader, name, overrides, mode)
        return copy.deepcopy(made[key])

    compose = CheckedLoader._load
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CheckedLoader, "_load", load)
        yield


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
