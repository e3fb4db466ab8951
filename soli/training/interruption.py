"""Ctrl-C, SIGTERM and a closed terminal end a training after the step in hand, with a checkpoint; a second request ends it at once."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType

from soli.training.silence import Silence

REPEATED = 5.0  # seconds in which one request may come as several signals
HANG_UP = getattr(signal, "SIGHUP", None)  # the terminal was closed, or its connection has ended; Windows has no such signal


class StopRequest:
    """As a context manager: `requested` becomes the signal's name when one arrives. Outside the main thread it listens to nothing.

    A further signal raises KeyboardInterrupt, which says with `advice` how to go on; but not soon after the first where one request comes
    as several signals: under torchrun, which passes on what a cluster has sent to all, and of a terminal that is closed. SIGHUP is never a
    further one, and where it is ignored (nohup) it stays so; from it on nothing is printed before the end of the context, and afterwards
    only where it is still read.
    """

    def __init__(self, advice: str = "what was saved last stays") -> None:
        self.advice = advice
        self.requested: str | None = None
        self._since = 0.0
        self._previous: dict[int, object] = {}
        self._silence = Silence()

    def stops(self, what: str) -> Callable[[], None]:
        """What work that keeps what it has done calls now and then: it raises KeyboardInterrupt once a signal has arrived."""

        def check_stop() -> None:
            if self.requested is not None:
                raise KeyboardInterrupt(f"Stopped by {self.requested} {what}; {self.advice}")

        return check_stop

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            numbers = [signal.SIGINT, signal.SIGTERM]
            if HANG_UP is not None and signal.getsignal(HANG_UP) is not signal.SIG_IGN:
                numbers.append(HANG_UP)
            self._previous = {number: signal.signal(number, self._note) for number in numbers}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._silence.end()

    def _note(self, number: int, _: FrameType | None) -> None:
        if number == HANG_UP:
            self._silence.begin()
        if self.requested is None:
            self.requested, self._since = signal.Signals(number).name, time.monotonic()
        elif number != HANG_UP and not self._may_repeat():
            raise KeyboardInterrupt(f"Stopped at once by a second signal; {self.advice}")

    def _may_repeat(self) -> bool:
        """Whether a further signal may be the same request."""
        several = "TORCHELASTIC_RUN_ID" in os.environ or self.requested == "SIGHUP"
        return several and time.monotonic() - self._since <= REPEATED
