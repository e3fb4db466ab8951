"""METEOR 1.5 (Denkowski and Lavie, 2014), by the jar that pycocoevalcap carries, in a Java process of our own.

The process is started once, for loading its paraphrases takes it seconds, and then scores any number of sets of captions. It does not
outlive the interpreter, however that ends, and whatever goes wrong with it ends in MeteorUnavailable rather than in a hang.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

JAR = "meteor-1.5.jar"
JAVA_OPTIONS = ("-Xmx1G", "-XX:+UseSerialGC", "-Dfile.encoding=UTF-8")  # the paraphrases do not fit in 300 MB
JAR_OPTIONS = ("-", "-", "-stdio", "-l", "en", "-norm")  # those of pycocoevalcap
SEPARATOR = " ||| "
ENTRIES = 23  # numbers in a line of statistics
WATCH = 'read -r line; kill -s KILL -- "-$0"'  # a shell waits for the end of our pipe, that is for our own, and then kills the group $0


class MeteorUnavailable(RuntimeError):
    """METEOR cannot be computed here: the message says why, and what to do."""


class Meteor:
    """METEOR of captions that are words joined by spaces.

    An answer takes at most `seconds`, which includes the process's start, and `seconds_per_caption` for each caption asked about.
    """

    def __init__(self, seconds: float = 300.0, seconds_per_caption: float = 0.5):
        self.seconds = seconds
        self.seconds_per_caption = seconds_per_caption
        self._process: subprocess.Popen[str] | None = None
        self._complaints: IO[str] | None = None
        self._end: weakref.finalize | None = None

    @property
    def pid(self) -> int | None:
        """The id of the Java process, None where there is none."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Starts the process if there is none, and does not wait for it. Raises MeteorUnavailable without Java or without the jar."""
        if self._process is not None:
            return
        command = [_java(), *JAVA_OPTIONS, "-jar", str(_jar()), *JAR_OPTIONS]
        complaints = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 (closed with the process)
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": complaints}
        try:  # in a session of its own: Ctrl-C is for Python, which may want to score what it has
            process = subprocess.Popen(command, **pipes, encoding="utf-8", errors="replace", start_new_session=True)
        except OSError as reason:
            raise MeteorUnavailable(f"{command[0]} cannot be started ({reason}); check the installation of Java.") from reason
        self._process, self._complaints = process, complaints
        self._end = weakref.finalize(self, _end, process, _watcher(process), complaints, os.getpid())

    def statistics(self, hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> np.ndarray:
        """One caption per photograph, and the captions it is compared with -> the 23 numbers of each that METEOR sums over a set.

        Raises MeteorUnavailable when the process does not start, stops, does not answer in time, or answers what is no score. The next
        call then starts another.
        """
        self.start()
        seconds = self.seconds + self.seconds_per_caption * len(hypotheses)
        with _deadline(self._process, seconds) as passed:
            try:
                return self._converse(hypotheses, references)
            except BaseException as reason:  # half a conversation cannot be taken up again, not after Ctrl-C either
                cause = f"no answer within {seconds:g} seconds" if passed.is_set() else self._cause(reason)
                self.close()
                if isinstance(reason, (OSError, ValueError)):
                    raise MeteorUnavailable(f"its Java program failed ({cause}); it needs Java 8 or later and 1 GB of memory.") from reason
                raise

    def close(self) -> None:
        """Ends the process, if there is one, and waits until it is gone. `start` and `score` would start another."""
        end, self._process, self._complaints, self._end = self._end, None, None, None
        if end is not None:
            end()

    def _converse(self, hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> np.ndarray:
        """A SCORE line is answered by a line of statistics."""
        lines = [
            SEPARATOR.join(["SCORE", *map(_field, captions), _field(caption)])
            for caption, captions in zip(hypotheses, references, strict=True)
        ]
        answers: list[str] = []
        for first in range(0, len(lines), 32):  # few enough for their answers to fit in the pipe, so that neither side waits for the other
            self._write("\n".join(lines[first : first + 32]))
            answers += [self._read() for _ in lines[first : first + 32]]
        statistics = np.array([[float(number) for number in answer.split()] for answer in answers])  # ragged: a ValueError
        if statistics.shape != (len(lines), ENTRIES) or not np.isfinite(statistics).all():
            raise ValueError(f"it answered {answers[0]!r}")
        return statistics

    def _write(self, line: str) -> None:
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def _read(self) -> str:
        assert self._process is not None and self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line.endswith("\n"):
            raise OSError("it stopped")
        if line.startswith("Error"):
            raise ValueError(line.strip())
        return line.strip()

    def _cause(self, reason: BaseException) -> str:
        """What the process itself said, if anything, else what was met here."""
        assert self._complaints is not None and self._process is not None and self._process.stdout is not None
        said = ""
        with contextlib.suppress(subprocess.TimeoutExpired):  # a process that is about to die may not have said so yet
            self._process.wait(timeout=1.0)
            _kill(self._process)
            said = self._process.stdout.read()  # where Java says that there is too little memory
        self._complaints.seek(0)
        lines = [line.strip() for line in (said + self._complaints.read()).splitlines() if line.strip()]
        errors = [line for line in lines if "error" in line.lower() or "exception" in line.lower()]
        return [*errors, *lines, str(reason)][0][:200]


@contextlib.contextmanager
def _deadline(process: subprocess.Popen[str], seconds: float) -> Iterator[threading.Event]:
    """Kills the process when the block takes longer than `seconds`, so that its reading ends; the event then is set."""
    passed = threading.Event()

    def expire() -> None:
        passed.set()
        _kill(process)

    timer = threading.Timer(seconds, expire)
    timer.daemon = True
    timer.start()
    try:
        yield passed
    finally:
        timer.cancel()


def _watcher(process: subprocess.Popen[str]) -> subprocess.Popen[bytes] | None:
    """Kills the process when this one was killed: Java itself notices only when it has loaded its tables and answered what it was asked."""
    command, silence = ["/bin/sh", "-c", WATCH, str(process.pid)], {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    try:
        return subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True, **silence)
    except OSError:  # no such shell: Java notices by itself
        return None


def _end(process: subprocess.Popen[str], watcher: subprocess.Popen[bytes] | None, complaints: IO[str], owner: int) -> None:
    """Kills the process and takes its status, so that no zombie stays. A fork of the interpreter leaves its parent's process alone."""
    for started in filter(None, [watcher, process]) if os.getpid() == owner else ():
        _kill(started)
        started.wait()
    for pipe in filter(None, (process.stdin, process.stdout, complaints, watcher and watcher.stdin)):
        with contextlib.suppress(OSError, ValueError):  # what a dead process was not sent cannot be sent
            pipe.close()


def _kill(process: subprocess.Popen[Any]) -> None:
    """Kills the process and its children: `java` may be a script that calls the real one."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()


def _field(caption: str) -> str:
    """A caption that can neither end its line nor be taken for two: pycocoevalcap drops the separator too."""
    return " ".join(caption.replace(SEPARATOR.strip(), " ").split())


def _java() -> str:
    java = shutil.which("java")
    if java is None:
        raise MeteorUnavailable("it needs Java, and there is no `java` on the PATH; install a Java runtime, 8 or later.")
    return java


def _jar() -> Path:
    package = importlib.util.find_spec("pycocoevalcap")
    for folder in (package.submodule_search_locations or []) if package is not None else []:
        if (Path(folder) / "meteor" / JAR).is_file():
            return Path(folder) / "meteor" / JAR
    raise MeteorUnavailable(f"{JAR} is not in the installed pycocoevalcap; install pycocoevalcap again.")
