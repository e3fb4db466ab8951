"""Signals during a training: the first is noted, the second ends it at once, unless torchrun has only passed on the first."""

import os
import signal

import pytest

from soli.training import interruption
from soli.training.interruption import StopRequest


@pytest.fixture(autouse=True)
def without_torchrun(monkeypatch):
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)


def test_the_second_signal_ends_it_at_once_with_advice():
    before = signal.getsignal(signal.SIGTERM)
    with StopRequest("continue with resume=runs/a") as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.requested == "SIGTERM"
        for number in (signal.SIGINT, signal.SIGTERM):
            with pytest.raises(KeyboardInterrupt, match="at once by a second signal; continue with resume=runs/a"):
                os.kill(os.getpid(), number)
    assert signal.getsignal(signal.SIGTERM) is before


def test_work_that_keeps_what_it_has_done_is_stopped_with_advice():
    with StopRequest("continue with resume=runs/a") as stop:
        check_stop = stop.stops("while features were made")
        check_stop()
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt, match="Stopped by SIGTERM while features were made; continue with resume=runs/a"):
            check_stop()


def test_what_torchrun_passes_on_is_no_second_signal(monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    times = iter([100.0, 101.0, 100.0 + interruption.REPEATED + 1])
    monkeypatch.setattr(interruption.time, "monotonic", lambda: next(times))
    with StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.requested == "SIGTERM"
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
