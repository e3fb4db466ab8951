"""Where a command begins: before anything heavy is imported, so that Ctrl-C ends it with a word at any time."""

from __future__ import annotations

import atexit
import importlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

INTERRUPTED = 130  # the exit code, as shells have it


def command(config_name: str, job: str, sweep: str | None = None) -> Callable[[], None]:
    """A command that takes its overrides from the command line and calls `main(config)` of the module named `job`.

    The module is imported when a job begins; the one named `sweep` is told of all jobs where there are several (`sweeps.Sweep`). A
    SoliError ends the command as one line on stderr with exit code 1, Ctrl-C with 130; other exceptions keep their traceback. Hydra writes
    nothing, changes no folder and configures no logging.
    """

    def run() -> None:
        with ending_at_once():
            console = importlib.import_module("soli.configuration.console")
        code, message = INTERRUPTED, ""
        try:
            code = console.run(config_name, job, sys.argv[1:], sweep)
        except KeyboardInterrupt as reason:
            message = str(reason) or "Interrupted."
        if message:  # where the interrupt struck is given up now, so that a bar of progress there has ended its line
            with _deaf():
                print(message, file=sys.stderr)
        atexit.register(_ignore_interrupts)  # Python has little to do any more, and would answer with a traceback
        if code:
            sys.exit(code)

    return run


def script(main: Callable[[], int | None], interrupted: str = "Interrupted.") -> NoReturn:
    """Runs the `main` of a script, and ends as a command does: what it returns is the exit code, and after Ctrl-C `interrupted` is said."""
    try:
        code = importlib.import_module("soli.configuration.console").in_one_line(main).code
    except KeyboardInterrupt:
        print(interrupted, file=sys.stderr)
        code = INTERRUPTED
    sys.exit(code)


@contextmanager
def ending_at_once() -> Iterator[None]:
    """While modules are imported, in the main thread: Ctrl-C ends the process with one word. Nothing is at work yet that had to end well,
    and an exception amid an import may surface as another one.
    """
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, _end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(*_: object) -> None:
    os.write(2, b"Interrupted.\n")
    os._exit(INTERRUPTED)


@contextmanager
def _deaf() -> Iterator[None]:
    """Without an answer to a further Ctrl-C."""
    before = signal.getsignal(signal.SIGINT)
    _ignore_interrupts()
    yield
    with suppress(ValueError):
        signal.signal(signal.SIGINT, before)


def _ignore_interrupts() -> None:
    with suppress(ValueError):  # of another thread than the main one
        signal.signal(signal.SIGINT, signal.SIG_IGN)
