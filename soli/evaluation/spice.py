"""SPICE (arXiv 1607.08822), by the jar that pycocoevalcap carries, where the language models that it needs have been put beside it."""

from __future__ import annotations

import importlib.util
import json
import math
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from soli.evaluation.programs import Watched
from soli.json_text import parse_json

JAR = "spice-1.0.jar"
MODELS = ("stanford-corenlp-3.6.0.jar", "stanford-corenlp-3.6.0-models.jar")
MEMORY = "-Xmx6G"


class SpiceUnavailable(RuntimeError):
    """SPICE cannot be computed here: the message says why, and what to do."""


def spice_folder() -> Path:
    """Where the jar and, in lib/, the models are. Raises SpiceUnavailable without Java or without one of them; nothing is downloaded."""
    package = importlib.util.find_spec("pycocoevalcap")
    folder = Path(next(iter(package.submodule_search_locations or []), "")) / "spice" if package is not None else Path("spice")
    missing = [path for path in (folder / JAR, *(folder / "lib" / name for name in MODELS)) if not path.is_file()]
    if missing:
        raise SpiceUnavailable(
            f"{missing[0]} is not there. soli does not download it: put {' and '.join(MODELS)} there, of Stanford CoreNLP 3.6.0."
        )
    if shutil.which("java") is None:
        raise SpiceUnavailable("it needs Java, and there is no java here.")
    return folder


def spice(hypotheses: Sequence[str], references: Sequence[Sequence[str]], seconds_per_caption: float = 2.0) -> list[float]:
    """One caption per photograph, and the captions it is compared with -> the F score of each, whose mean is that of the set.

    A caption that no scene graph can be compared with counts 0. Raises SpiceUnavailable when the program fails or takes too long.
    """
    folder = spice_folder()
    with tempfile.TemporaryDirectory() as scratch:
        given, answer = Path(scratch) / "captions.json", Path(scratch) / "scores.json"
        pairs = zip(hypotheses, references, strict=True)
        entries = [{"image_id": index, "test": caption, "refs": list(captions)} for index, (caption, captions) in enumerate(pairs)]
        given.write_text(json.dumps(entries), encoding="utf-8")
        command = ["java", MEMORY, "-jar", JAR, str(given), "-cache", scratch, "-out", str(answer), "-subset", "-silent"]
        try:
            _run(command, folder, 300 + seconds_per_caption * len(entries))
            scores = {item["image_id"]: item["scores"]["All"]["f"] for item in parse_json(answer.read_bytes())}
            found = [float(scores[index]) for index in range(len(entries))]
        except subprocess.CalledProcessError as reason:
            said = reason.stderr.decode(errors="replace").strip().splitlines() or [f"exit code {reason.returncode}"]
            raise SpiceUnavailable(f"its Java program failed ({said[0][:200]}); it was written for Java 8.") from reason
        except (OSError, subprocess.TimeoutExpired, ValueError, KeyError, TypeError) as reason:
            raise SpiceUnavailable(f"its Java program gave no scores ({type(reason).__name__}: {str(reason)[:200]}).") from reason
    return [score if math.isfinite(score) else 0.0 for score in found]


def _run(command: Sequence[str], folder: Path, seconds: float) -> None:
    """Runs a program; it does not outlive this call, nor this process.

    Raises CalledProcessError when it fails, with what it said, and TimeoutExpired.
    """
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    program = Watched(command, cwd=folder, **pipes)
    try:
        said = program.process.communicate(timeout=seconds)[1]
    finally:
        program.end()
    if program.process.returncode:
        raise subprocess.CalledProcessError(program.process.returncode, command, stderr=said)
