"""METEOR 1.5 (Denkowski and Lavie, 2014), by the jar that pycocoevalcap carries, in a Java process of our own.

The process is started once, for loading its paraphrases takes it seconds, and then scores any number of sets of captions. It does not
outlive the interpreter, however that ends, and whatever goes wrong with it ends in MeteorUnavailable rather than in a hang.
"""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import subprocess
import tempfile
import threading
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import numpy as np

from soli.evaluation.programs import Watched

JAR = "meteor-1.5.jar"
JAVA_OPTIONS = ("-Xmx1G", "-XX:+UseSerialGC", "-Dfile.encoding=UTF-8")  # the paraphrases do not fit in 300 MB
JAR_OPTIONS = ("-", "-", "-stdio", "-l", "en", "-norm")  # those of pycocoevalcap
SEPARATOR = " ||| "
ENTRIES = 23  # numbers in a line of statistics


class MeteorUnavailable(RuntimeError):
    """METEOR cannot be computed here: the message says why, and what to do."""


class Meteor:
    """METEOR of captions that are words joined by spaces.

    An answer takes at most `seconds`, which includes the process's start, and `seconds_per_caption` for each caption asked about.
    """

    def __init__(self, seconds: float = 300.0, seconds_per_caption: float = 0.5):
        self.seconds = seconds
        self.seconds_per_caption = seconds_per_caption
        self._program: Watched | None = None
        self._complaints: IO[str] | None = None
        self._end: weakref.finalize | None = None

    @property
    def pid(self) -> int | None:
        """The id of the Java process, None where there is none."""
        return None if self._program is None else self._program.process.pid

    def start(self) -> None:
        """Starts the process if there is none, and does not wait for it. Raises MeteorUnavailable without Java or without the jar."""
        if self._program is not None:
            return
        command = [_java(), *JAVA_OPTIONS, "-jar", str(_jar()), *JAR_OPTIONS]
        complaints = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 (closed with the process)
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": complaints}
        try:
            program = Watched(command, **pipes, encoding="utf-8", errors="replace")
        except OSError as reason:
            raise MeteorUnavailable(f"{command[0]} cannot be started ({reason}); check the installation of Java.") from reason
        self._program, self._complaints = program, complaints
        self._end = weakref.finalize(self, _end, program, complaints)

    def statistics(self, hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> np.ndarray:
        """One caption per photograph, and the captions it is compared with -> the 23 numbers of each that METEOR sums over a set.

        Raises MeteorUnavailable when the process does not start, stops, does not answer in time, or answers what is no score. The next
        call then starts another.
        """
        self.start()
        seconds = self.seconds + self.seconds_per_caption * len(hypotheses)
        with _deadline(self._program, seconds) as passed:
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
        end, self._program, self._complaints, self._end = self._end, None, None, None
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
        assert self._program is not None and self._program.process.stdin is not None
        self._program.process.stdin.write(line + "\n")
        self._program.process.stdin.flush()

    def _read(self) -> str:
        assert self._program is not None and self._program.process.stdout is not None
        line = self._program.process.stdout.readline()
        if not line.endswith("\n"):
            raise OSError("it stopped")
        if line.startswith("Error"):
            raise ValueError(line.strip())
        return line.strip()

    def _cause(self, reason: BaseException) -> str:
        """What the process itself said, if anything, else what was met here."""
        assert self._complaints is not None and self._program is not None and self._program.process.stdout is not None
        said = ""
        with contextlib.suppress(subprocess.TimeoutExpired):  # a process that is about to die may not have said so yet
            self._program.process.wait(timeout=1.0)
            self._program.kill()
            said = self._program.process.stdout.read()  # where Java says that there is too little memory
        self._complaints.seek(0)
        lines = [line.strip() for line in (said + self._complaints.read()).splitlines() if line.strip()]
        errors = [line for line in lines if "error" in line.lower() or "exception" in line.lower()]
        return [*errors, *lines, str(reason)][0][:200]


@contextlib.contextmanager
def _deadline(program: Watched, seconds: float) -> Iterator[threading.Event]:
    """Kills the program when the block takes longer than `seconds`, so that its reading ends; the event then is set."""
    passed = threading.Event()

    def expire() -> None:
        passed.set()
        program.kill()

    timer = threading.Timer(seconds, expire)
    timer.daemon = True
    timer.start()
    try:
        yield passed
    finally:
        timer.cancel()


def _end(program: Watched, complaints: IO[str]) -> None:
    program.end()
    complaints.close()


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
