"""What is done to a training from within its own process: nothing of it stands in soli, and a real kernel could do all of it.

A `spec` says what: {"kill at operation": n}, {"kill in save": [n, place]}, {"refuse": [errno, n]}, {"nan at": n}, {"spoil": {...}},
{"count": file}, {"list modules": file}. File operations are those under the training's folder, as Python's audit events tell them.
"""

from __future__ import annotations

import atexit
import builtins
import io
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGING = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link"}
PLACES = ("half written", "written", "on disk", "in place")  # of a save


def install(spec: dict[str, Any]) -> None:
    for name, value in spec.items():
        INJECTIONS[name](value)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def count_operations(target: str) -> None:
    """Writes the numbers of file operations and of opened photographs when the training ends; and how many of these the run did not see."""
    counts = {"operations": 0, "photographs": 0, "photographs_before": 0}
    trainer = os.getpid()

    def count(kind: str, path: str) -> None:
        counts[kind] += 1
        if path.endswith("metrics.jsonl"):
            counts["photographs_before"] = counts["photographs"]

    def write() -> None:
        if os.getpid() == trainer:
            Path(target).write_text(json.dumps(counts), encoding="utf-8")

    watch(count)
    atexit.register(write)


def list_modules(target: str) -> None:
    atexit.register(lambda: Path(target).write_text("\n".join(sorted(sys.modules)), encoding="utf-8"))


def kill_at_operation(number: int) -> None:
    """An even number dies before the operation, an odd one after the file was opened (and emptied)."""
    number, after = divmod(number, 2)
    seen = iter(range(sys.maxsize))
    trainer = os.getpid()

    def look(kind: str, _path: str) -> None:
        if kind == "operations" and os.getpid() == trainer and next(seen) == number:
            if not after:
                die()
            die_when_opened()

    watch(look)


def die_when_opened() -> None:
    """What is opened next is, and then this process is dead; an operation that opens nothing is survived until one does."""
    for module in (builtins, io):
        module.open = wrapped(module.open, lambda *_: die())


def wrapped(function: Callable[..., Any], after: Callable[..., None]) -> Callable[..., Any]:
    def call(*positional: Any, **named: Any) -> Any:
        result = function(*positional, **named)
        after(*positional)
        return result

    return call


def kill_in_save(which: list[Any]) -> None:
    """Dies in the n-th save: when half of the file is written, when all is, when it is on disk, or when it is in its place."""
    number, place = which
    import safetensors.torch

    saves = iter(range(sys.maxsize))
    present = {"save": -1}
    serialize, fsync, replace = safetensors.torch.serialize_file, os.fsync, os.replace

    def serialized(*positional: Any, **named: Any) -> None:
        present["save"] = next(saves)
        serialize(*positional, **named)
        if present["save"] == number and place in PLACES[:2]:
            if place == "half written":
                os.truncate(positional[1], os.path.getsize(positional[1]) // 2)
            die()

    def synced(*positional: Any) -> None:
        fsync(*positional)
        if present["save"] == number and place == "on disk":
            die()

    def replaced(*positional: Any, **named: Any) -> None:
        replace(*positional, **named)
        if present["save"] == number and place == "in place" and str(positional[1]).endswith(".safetensors"):
            die()

    safetensors.torch.serialize_file, os.fsync, os.replace = serialized, synced, replaced


def refuse(how: list[int]) -> None:
    """From the n-th operation on the disk refuses to be written to, with this error."""
    import safetensors
    import safetensors.torch

    error, number = how
    state = {"operations": 0}
    serialize = safetensors.torch.serialize_file

    def look(kind: str, path: str) -> None:
        if kind == "operations":
            state["operations"] += 1
            if state["operations"] > number:
                raise OSError(error, os.strerror(error), path)

    def serialized(*positional: Any, **named: Any) -> None:
        if state["operations"] >= number:
            raise safetensors.SafetensorError(f"Error while serializing: I/O error: {os.strerror(error)} (os error {error})")
        serialize(*positional, **named)

    watch(look)
    safetensors.torch.serialize_file = serialized


def nan_at(number: int) -> None:
    """The n-th losses are no numbers."""
    from soli.training.step_losses import StepLosses

    call, calls = StepLosses.__call__, iter(range(sys.maxsize))

    def spoilt(self: Any, *positional: Any) -> dict[str, Any]:
        terms = call(self, *positional)
        return {name: value * float("nan") for name, value in terms.items()} if next(calls) == number else terms

    StepLosses.__call__ = spoilt


def spoil(what: dict[str, Any]) -> None:
    """When the n-th photograph is opened, `victim` vanishes, or is cut short."""
    seen = iter(range(sys.maxsize))

    def look(kind: str, _path: str) -> None:
        if kind == "photographs" and next(seen) == what["number"]:
            if what["how"] == "vanishes":
                os.rename(what["victim"], what["victim"] + ".gone")
            else:
                content = Path(what["victim"]).read_bytes()
                Path(what["victim"] + ".gone").write_bytes(content)
                Path(what["victim"]).write_bytes(content[: len(content) // 3])

    watch(look)


def watch(look: Callable[[str, str], None]) -> None:
    """Calls `look` with "operations" and the path before the training writes to its folder, with "photographs" before it opens one."""
    folder, inside = os.getcwd(), {"watching": False}

    def hook(event: str, details: tuple[Any, ...]) -> None:
        if inside["watching"] or (event != "open" and event not in CHANGING):
            return
        path = details[0]
        if not isinstance(path, (str, bytes, os.PathLike)):
            return
        inside["watching"] = True
        try:
            full = os.path.abspath(os.fsdecode(path))
            if event == "open" and full.endswith(".jpg"):
                look("photographs", full)
            elif full.startswith(folder + os.sep) and (event != "open" or writes(*details[1:])):
                look("operations", full)
        finally:
            inside["watching"] = False

    sys.addaudithook(hook)


def writes(mode: str | None, flags: int) -> bool:
    return bool(set(mode) & set("wax+")) if isinstance(mode, str) else bool(flags & WRITING)


INJECTIONS: dict[str, Callable[[Any], None]] = {
    "count": count_operations,
    "list modules": list_modules,
    "kill at operation": kill_at_operation,
    "kill in save": kill_in_save,
    "refuse": refuse,
    "nan at": nan_at,
    "spoil": spoil,
}
