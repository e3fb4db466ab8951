"""Programs that we start and that do not outlive us, however we end: the Java of METEOR and SPICE, the jobs of a sweep."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence
from typing import Any

WATCH = "read -r line; kill -s KILL 0"  # a shell waits for the end of our pipe, that is for our own, and then kills its whole group


class Watched:
    """A program in a group of processes that a shell leads, which kills the group as soon as we are gone.

    The group is not the terminal's: Ctrl-C is for Python, which may want to finish what it has. A fork of ours leaves the program alone.
    """

    def __init__(self, command: Sequence[str], **options: Any):
        """Starts it; `options` are those of subprocess.Popen. Raises OSError when it cannot be started."""
        self._owner = os.getpid()
        self._watcher = _watcher()
        try:
            self.process = subprocess.Popen(command, process_group=self._watcher.pid if self._watcher else 0, **options)
        except BaseException:
            _end_watcher(self._watcher)
            raise

    def kill(self) -> None:
        """Kills it and all that it has started: `java` may be a script that calls the real one."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if hasattr(os, "killpg"):
                os.killpg(self._watcher.pid if self._watcher else self.process.pid, signal.SIGKILL)
            else:
                self.process.kill()

    def end(self) -> None:
        """Kills it and takes its status, so that no zombie stays, and closes its pipes."""
        if os.getpid() == self._owner:
            self.kill()
            self.process.wait()
            _end_watcher(self._watcher)
        for pipe in filter(None, (self.process.stdin, self.process.stdout, self.process.stderr, self._watcher and self._watcher.stdin)):
            with contextlib.suppress(OSError, ValueError):  # what a dead process was not sent cannot be sent
                pipe.close()


def _watcher() -> subprocess.Popen[bytes] | None:
    """It is there before the program: no moment is left in which we could be killed and the program stay."""
    silence = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    try:
        return subprocess.Popen(["/bin/sh", "-c", WATCH], stdin=subprocess.PIPE, process_group=0, **silence)
    except OSError:  # no such shell: a program that reads from us notices by itself
        return None


def _end_watcher(watcher: subprocess.Popen[bytes] | None) -> None:
    if watcher is not None:
        watcher.kill()
        watcher.wait()
        watcher.stdin.close()
