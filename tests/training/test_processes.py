"""What the main process alone looks at is refused for all processes, and said once."""

from types import SimpleNamespace

import pytest

from soli.interfaces import SoliError
from soli.training import processes
from soli.training.processes import as_one

ONE = SimpleNamespace(num_processes=1)


@pytest.fixture
def told(monkeypatch):
    """What a process hands to the others; what the main one has handed over is `told.main`."""
    handed = SimpleNamespace(own=[], main=None)

    def from_main(_, value):
        handed.own.append(value)
        return value if handed.main is None else handed.main

    monkeypatch.setattr(processes, "from_main", from_main)
    monkeypatch.setattr(processes, "PATIENCE", 0.0)
    return handed


def test_the_main_process_tells_the_others_and_says_what_is_wrong(told):
    with pytest.raises(SoliError, match="already holds a run"), as_one(ONE):
        raise SoliError("runs/a already holds a run.")
    assert told.own == [True]


def test_the_others_end_without_a_word(told, capsys):
    told.main = True
    with pytest.raises(SystemExit) as ended, as_one(ONE):
        pass
    assert ended.value.code == 1 and told.own == [False] and capsys.readouterr() == ("", "")


def test_all_go_on_where_nothing_is_refused(told):
    with as_one(ONE):
        pass
    told.main = False
    with as_one(ONE):
        pass
    assert told.own == [False, False]
