"""Ctrl-C and SIGTERM end a training after the step in hand, with a checkpoint; a second one ends it at once."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType

REPEATED = 5.0  # seconds in which torchrun passes on to its processes what a cluster has sent to all of them


class StopRequest:
    """As a context manager: `requested` becomes the signal's name when one arrives. Outside the main thread it listens to nothing.

    A further signal raises KeyboardInterrupt, which says with `advice` how to go on; but not under torchrun soon after the first, when it
    is the same request once more.
    """

    def __init__(self, advice: str = "what was saved last stays") -> None:
        self.advice = advice
        self.requested: str | None = None
        self._since = 0.0
        self._previous: dict[int, object] = {}

    def stops(self, what: str) -> Callable[[], None]:
        """What work that keeps what it has done calls now and then: it raises KeyboardInterrupt once a signal has arrived."""

        def check_stop() -> None:
            if self.requested is not None:
                raise KeyboardInterrupt(f"Stopped by {self.requested} {what}; {self.advice}")

        return check_stop

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number: int, _: FrameType | None) -> None:
        if self.requested is None:
            self.requested, self._since = signal.Signals(number).name, time.monotonic()
        elif "TORCHELASTIC_RUN_ID" not in os.environ or time.monotonic() - self._since > REPEATED:
            raise KeyboardInterrupt(f"Stopped at once by a second signal; {self.advice}")
