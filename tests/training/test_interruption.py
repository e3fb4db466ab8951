"""Signals during a training: the first is noted, the second ends it at once and says how to go on, others change nothing."""

import os
import signal

import pytest

from soli.training.interruption import StopRequest


def test_the_second_signal_ends_it_with_advice_and_the_third_is_nothing():
    before = signal.getsignal(signal.SIGTERM)
    with StopRequest("continue with resume=runs/a") as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.requested == "SIGTERM"
        with pytest.raises(KeyboardInterrupt, match="at once by a second signal; continue with resume=runs/a"):
            os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGTERM) is before
