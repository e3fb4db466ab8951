"""How a training that cannot go on for now says how to go on later."""

from pathlib import Path

import pytest

from soli.interfaces import BrokenWeights, SoliError
from soli.training.endings import interruptible, resumable, told_of


def test_the_advice_is_added_once_and_to_mistakes_only():
    with (
        pytest.raises(SoliError, match=r"a\.jpg does not exist\. Training stops.*soli\.train resume=runs/a\.$"),
        resumable(Path("runs/a")),
    ):
        raise SoliError("The photograph a.jpg does not exist.")
    with pytest.raises(SoliError, match=r"^The log is full: continue with resume=runs/a\.$"), resumable(Path("runs/a")):
        raise SoliError("The log is full: continue with resume=runs/a.")
    with pytest.raises(BrokenWeights, match=r"^Its weights are broken\.$"), resumable(Path("runs/a")):
        raise BrokenWeights("Its weights are broken.")
    with pytest.raises(LookupError, match="^'a bug'$"), resumable(Path("runs/a")):
        raise KeyError("a bug")


def test_a_stream_passes_items_on_and_closing_it_closes_what_it_reads():
    closed = []

    def items():
        try:
            yield 1
            raise SoliError("The photograph a.jpg does not exist.")
        finally:
            closed.append(True)

    stream = told_of(items(), Path("runs/a"))
    assert next(stream) == 1
    with pytest.raises(SoliError, match="resume=runs/a"):
        next(stream)
    stream = told_of(items(), Path("runs/a"))
    next(stream)
    stream.close()
    assert closed == [True, True]


@pytest.mark.parametrize(
    ("said", "message"),
    [("", "Interrupted; continue with python -m soli.train resume=runs/a"), ("Stopped after step 3.", "Stopped after step 3.")],
)
def test_ctrl_c_says_how_to_go_on(said, message):
    with pytest.raises(KeyboardInterrupt) as caught, interruptible(Path("runs/a")):
        raise KeyboardInterrupt(said)
    assert str(caught.value) == message
