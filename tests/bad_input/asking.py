"""A line as a user types it, run in this process: a command, a script, or an expression of Python. What it says, and how it ends."""

from __future__ import annotations

import importlib
import runpy
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import soli
from soli.interfaces import SoliError
from soli.training import settings
from tests.bad_input.workplace import TINY_DATA

COMMANDS = ("train", "evaluate", "caption", "export")
SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
NAMES = {"soli": soli, "settings": settings, "torch": torch, "np": np, "Image": Image, "Path": Path}


@dataclass
class Answer:
    """How a line ended: the exit code, and what it wrote."""

    code: int
    out: str
    err: str


def ask(line: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture) -> Answer:
    """Runs a line; toy data are small ones, where the line does not say how large."""
    program, _, rest = line.partition(" ")
    capfd.readouterr()
    code = 0
    try:
        if program == "python":
            eval(rest, dict(NAMES))
        else:
            monkeypatch.setattr(sys, "argv", [program, *_arguments(program, rest)])
            if program in COMMANDS:
                importlib.import_module(f"soli.{program}").main()
            else:
                monkeypatch.syspath_prepend(str(SCRIPTS))  # as Python does with the folder of a script
                runpy.run_path(str(SCRIPTS / f"{program}.py"), run_name="__main__")
    except SystemExit as stop:
        code = stop.code or 0
    except SoliError as reason:  # which a user of Python sees
        code = f"error: {reason}"
    if isinstance(code, str):
        print(code, file=sys.stderr)
        code = 1
    return Answer(code, *capfd.readouterr())


def _arguments(program: str, rest: str) -> list[str]:
    given = shlex.split(rest)
    if program != "train" or any(argument.startswith(("dataset=", "dataset={", "resume=", "experiment=")) for argument in given):
        return given
    keys = {argument.partition("=")[0] for argument in given}
    return [*(default for default in (*TINY_DATA, "runtime.max_steps=1") if default.partition("=")[0] not in keys), *given]
