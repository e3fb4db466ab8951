"""How the end of a training is judged: against an undisturbed one, byte by byte, and by what it said. Nothing of soli is used for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fault_check.trainings import Training

CLOCK = "images_per_second"  # in a line of the log, the one figure that may differ
SAYS = {1: ("error: ",), 130: ("Stopped", "Interrupted.")}  # exit code: how its sentence begins


def checkpoint(path: Path) -> tuple[dict[str, Any], bytes] | None:
    """The header of a safetensors file, its metadata parsed, and its tensors' bytes; None for a file that is not whole."""
    content = path.read_bytes()
    try:
        start = 8 + int.from_bytes(content[:8], "little")
        header = json.loads(content[8:start])
        metadata = {name: json.loads(value) for name, value in header.pop("__metadata__").items()}
        ends = [tensor["data_offsets"][1] for tensor in header.values()]
    except (ValueError, KeyError, TypeError):
        return None
    return ({"metadata": metadata, "tensors": header}, content[start:]) if max(ends) == len(content) - start else None


def log_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a log without what the clock said. Raises ValueError for a broken one."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [{name: value for name, value in line.items() if name != CLOCK} for line in lines]


def config_lines(path: Path) -> list[str]:
    return [line for line in path.read_text(encoding="utf-8").splitlines() if not line.strip().startswith("workers:")]


def damaged(run: Path) -> list[str]:
    """The checkpoints of a run folder that are not whole."""
    return [f"{path.name} is damaged" for path in sorted(run.glob("*.safetensors")) if checkpoint(path) is None]


def differences(home: Path, expected: Path) -> list[str]:
    """What of a finished training (its run folder, its cache) is not as in the undisturbed one."""
    found = []
    names = {path.relative_to(folder) for folder in (home, expected) for path in folder.rglob("*") if path.is_file()}
    for name in sorted(names, key=str):
        mine, theirs = home / name, expected / name
        if name.name == "lock":  # the file of one that was given up: the system holds the lock, not the file
            continue
        if not mine.exists() or not theirs.exists():
            found.append(f"{name} is {'missing' if theirs.exists() else 'left over'}")
        elif content(mine) != content(theirs):
            found.append(f"{name} differs")
    return found


def content(path: Path) -> Any:
    """What of a file must be equal."""
    if path.suffix == ".safetensors":
        return checkpoint(path) or "damaged"
    try:
        if path.name == "versions.json":  # the checkout may change while the check runs
            return {name: value for name, value in json.loads(path.read_text(encoding="utf-8")).items() if name != "code"}
        return log_lines(path) if path.name == "metrics.jsonl" else config_lines(path) if path.suffix == ".yaml" else path.read_bytes()
    except ValueError:
        return "broken"


def complaints(training: Training, codes: set[int], culprits: tuple[str, ...] = ()) -> list[str]:
    """What is wrong with how a training ended: its exit code, or a traceback, or a stop that one clear sentence does not explain."""
    found = []
    output = training.said + training.complained
    if training.status not in codes:
        found.append(f"exit code {training.status} in place of {' or '.join(map(str, sorted(codes)))}")
    found += [f"it says {word!r}" for word in ("Traceback", "Exception ignored") if word in output]
    if training.status in SAYS:
        told = sentence(training)
        if told is None:
            found.append("it stops without a word")
        elif training.status == 1:
            found += [f"its sentence lacks {word!r}: {told}" for word in culprits if word.lower() not in told.lower()]
    return found


def sentence(training: Training) -> str | None:
    """What a stopped training said of it."""
    lines = [line.strip() for line in training.complained.replace("\r", "\n").splitlines() if line.strip()]
    starts = [number for number, line in enumerate(lines) if line.startswith(SAYS.get(training.status, ("\0",)))]
    return " ".join(lines[starts[-1] :]) if starts else None
