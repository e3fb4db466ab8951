"""Ctrl-C and SIGTERM end a training after the step in hand, with a checkpoint; a second one ends it at once."""

from __future__ import annotations

import signal
import threading
from types import FrameType


class StopRequest:
    """As a context manager: `requested` becomes the signal's name when one arrives. Outside the main thread it listens to nothing.

    The second signal raises KeyboardInterrupt, which says with `advice` how to go on; further ones change nothing any more.
    """

    def __init__(self, advice: str = "what was saved last stays") -> None:
        self.advice = advice
        self.is_over = False
        self.requested: str | None = None
        self._previous: dict[int, object] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number: int, _: FrameType | None) -> None:
        if self.is_over:
            return
        if self.requested:
            self.is_over = True
            raise KeyboardInterrupt(f"Stopped at once by a second signal; {self.advice}")
        self.requested = signal.Signals(number).name
