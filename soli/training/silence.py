"""Output whose reader may be gone, as a terminal that was closed: an error of writing there must not end what is still to be saved."""

from __future__ import annotations

import contextlib
import os
import select
import stat
import sys

OUTPUTS = (1, 2)  # the numbers of stdout and stderr


class Silence:
    """From `begin` to `end` all output goes nowhere, but for that into files."""

    def __init__(self) -> None:
        self._has_begun = False
        self._before: dict[int, int] = {}

    def begin(self) -> None:
        """May be called at any time, as by the handler of a signal, and more than once."""
        if self._has_begun:
            return
        self._has_begun = True
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):  # its reader is gone, or we are called amid its own work
                stream.flush()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for number in OUTPUTS:
            with contextlib.suppress(OSError):  # it is closed
                if not stat.S_ISREG(os.fstat(number).st_mode):
                    self._before[number] = os.dup(number)
                    os.dup2(nowhere, number)
        os.close(nowhere)

    def end(self) -> None:
        """Output that somebody still reads goes where it went before."""
        for number, before in self._before.items():
            if _is_read(before):
                os.dup2(before, number)
            os.close(before)
        self._has_begun = False
        self._before.clear()


def _is_read(output: int) -> bool:
    """Whether a terminal, or the other end of a pipe, is still there."""
    question = select.poll()
    question.register(output, select.POLLOUT)
    return not any(events & (select.POLLERR | select.POLLHUP) for _, events in question.poll(0))
