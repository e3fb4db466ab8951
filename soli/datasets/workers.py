"""The processes that decode photographs: they end with their batches and with the process that started them, and their death is told."""

from __future__ import annotations

import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

from torch.utils.data import DataLoader

from soli.interfaces import SoliError

DEAD = "DataLoader worker (pid"  # how PyTorch's sentences about a worker that is gone begin
PATIENCE = 0.5  # seconds in which a worker whose connection broke must be gone, if that was why, or that was killed


def items_of(loader: DataLoader, number: int) -> Iterator[Any]:
    """The loader's `number` items. Its processes have ended when the last one is given, and when the iterator is closed.

    Raises SoliError when one of them was killed; an exception of their own code is raised as PyTorch does, with its traceback.
    """
    stream = _start(loader)
    try:
        for place in range(number):
            try:
                item = next(stream)
            except (RuntimeError, OSError, EOFError) as reason:
                if not str(reason).startswith(DEAD) and not (isinstance(reason, (OSError, EOFError)) and _codes(stream, PATIENCE)):
                    raise
                raise SoliError(_dead(stream)) from reason
            if place == number - 1:
                _end(stream)
            yield item
    finally:
        _end(stream)


def follow_parent(_worker: int) -> None:
    """What a worker does first: a signal to the whole group of processes (Ctrl-C, a cluster's SIGTERM, a closed terminal) is the trainer's
    to answer, which still needs its batches to end well; and when the trainer is gone, so is the worker, whatever started it (PyTorch looks
    at the parent's number every five seconds, and that of a fork server stays).
    """
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):  # Windows has no SIGHUP
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _start(loader: DataLoader) -> Iterator[Any]:
    """iter(loader), with the answer to SIGCHLD as it was: PyTorch's would raise amid whatever the main thread does when a worker dies.

    Without it the death is noticed when the next item is waited for.
    """
    number = getattr(signal, "SIGCHLD", None)
    before = signal.getsignal(number) if number is not None else None
    stream = iter(loader)
    if before is not None and threading.current_thread() is threading.main_thread():
        signal.signal(number, before)
    return stream


def _end(stream: Iterator[Any]) -> None:
    """Ends the workers. One that hangs, in a file system that does not answer for one, would be waited for without end as Python ends:
    it does not hear the SIGTERM with which PyTorch gives it up.
    """
    getattr(stream, "_shutdown_workers", lambda: None)()
    for worker in getattr(stream, "_workers", []):
        if worker.is_alive():
            worker.kill()
            worker.join(PATIENCE)


def _codes(stream: Iterator[Any], seconds: float = 0.0) -> list[int]:
    """Exit codes of the workers that did not end well, for which so long is waited; minus the signal, where one ended them."""
    workers = getattr(stream, "_workers", [])
    if seconds:
        multiprocessing.connection.wait([worker.sentinel for worker in workers], seconds)
    return [worker.exitcode for worker in workers if worker.exitcode]


def _dead(stream: Iterator[Any]) -> str:
    """What became of the worker, and why that may be."""
    codes = _codes(stream)
    names = [signal.Signals(-code).name for code in codes if code < 0 and -code in set(signal.Signals)]
    ended = f"by {names[0]}" if names else f"with exit code {codes[0]}" if codes else "unexpectedly"
    advice = {
        "SIGKILL": "The memory may have run out: give fewer runtime.workers",
        "SIGBUS": "Shared memory (/dev/shm) may be full: give it more (docker run --shm-size), or runtime.workers=0",
    }.get(names[0] if names else "", "runtime.workers=0 shows what happens there")
    return f"A process that decodes photographs (runtime.workers) was ended {ended}. {advice}."
