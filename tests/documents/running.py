"""Runs documented commands in this process, in one folder, each once; what they read, other commands of the documents have made."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import re
import runpy
import shutil
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from omegaconf import OmegaConf

from soli.configuration import compose, job_overrides
from soli.evaluation.meteor import ENTRIES, Meteor
from soli.interfaces import SoliError
from tests.documents.calls import Call, jobs_of, read_call
from tests.documents.files import write_files
from tests.documents.parsing import REPOSITORY
from tests.documents.small import EVALUATION, small_parts, small_training

READ = ("run", "runs", "init_from", "resume", "model.pretrained")
# Runs that documents name as a user's own, and that no command there makes; each is a copy of another.
STAND_INS = {
    **{f"runs/{name}": "runs/toy" for name in ("b0", "b1")},
    **{f"runs/{name}": "runs/toy_par" for name in ("p0", "p1")},
}
TRAIN = [f"python -m soli.train experiment={name}" for name in ("toy", "toy_par")]
TRAIN += [f"python -m soli.evaluate run=runs/{name}" for name in ("toy", "toy_par")]  # as `make train` does
# METEOR's program takes seconds to start; tests/evaluation/test_meteor.py asks it.
NO_JAVA = {"start": lambda _: None, "statistics": lambda _, captions, references: np.ones((len(captions), ENTRIES))}
SMALL_SCRIPTS = {  # what makes them small
    "scripts/reproduce.py": ["--seeds", "0", "--dry-run"],
    "scripts/orthogonal_sweep.py": ["--dry-run"],
    "scripts/linear_probe.py": ["--words", "circle", "--photographs", "8"],
    "scripts/gpu_check/pack.py": [],
}


@dataclass(frozen=True)
class Answer:
    code: int
    said: str


class Workplace:
    """A folder with all files that the commands read."""

    def __init__(self, folder: Path, commands: Iterable[str]) -> None:
        self.folder = folder
        self.makers: dict[str, str] = {}
        self.answers: dict[Call, Answer] = {}
        for text in [*TRAIN, *commands]:
            with contextlib.suppress(ValueError):  # of lines that no test can run, which another test tells
                self.makers.setdefault(_made_by(read_call(text)), text)
        write_files(folder)

    def run(self, text: str) -> Answer:
        """The command of the documents, made small."""
        call = read_call(text)
        if call not in self.answers:
            ways = {"soli": self._soli, "torchrun": self._soli, "code": self._soli, "script": self._script}
            with self.inside(call.variables):
                self.answers[call] = ways[call.kind](call)
        return self.answers[call]

    def ask(self, script: str) -> Answer:
        """What a script says of its options."""
        return _answer(lambda: _run_script(script, ["--help"]))

    def _soli(self, call: Call) -> Answer:
        name = "train" if call.kind == "code" else call.name
        if {"--help", "--cfg"} & set(call.arguments):
            return _answer(lambda: _main(name, call.arguments))
        try:
            configs = self._composed(name, call)
        except SoliError as reason:
            return Answer(1, str(reason))
        for folder in _read_by(call, configs[0]):
            self._provide(folder)
        if "hydra/launcher=submitit_slurm" in call.arguments:
            return _told_to_install(name, call)
        small = small_training(configs) if name == "train" else EVALUATION if name == "evaluate" else []
        taken = [f"{key}={made}" for key in ("run_dir", "to") if (made := _made_by(call)) and Path(made).exists()]  # of another command
        given = [f"{argument}_{len(self.answers)}" if argument in taken else argument for argument in call.here]
        arguments = [*given, *small]
        program = (lambda: _code(call.name, arguments)) if call.kind == "code" else (lambda: _main(name, arguments))
        named_after = lambda: [override for override in job_overrides() if override not in small]  # noqa: E731 - what the user gave
        with mock.patch("soli.jobs.run_folder.job_overrides", named_after), mock.patch("soli.jobs.starting.job_overrides", named_after):
            return _answer(program)

    def _composed(self, name: str, call: Call) -> list[dict]:
        """The config of each job, on a GPU if that is what the command says; names of folders that are made of other settings aside."""
        kept = re.compile(r"(?!hydra)|hydra\.searchpath=")
        overrides = [override for override in call.overrides if kept.match(override) and "${" not in override]
        return [OmegaConf.to_container(compose(job, name), resolve=True) for job in jobs_of(overrides, call.makes_several)]

    def _provide(self, folder: str) -> None:
        """Makes what a command reads, if it is not there."""
        if Path(folder).exists():
            return
        if folder in STAND_INS:
            self._provide(STAND_INS[folder])
            shutil.copytree(STAND_INS[folder], folder)
            return
        assert folder in self.makers, f"No command of the documents makes {folder}. Add it to STAND_INS of tests/documents/running.py."
        answer = self.run(self.makers[folder])
        assert answer.code == 0 and Path(folder).exists(), answer.said

    def _script(self, call: Call) -> Answer:
        """Where it only prints the trainings that it would do, the first of them is done too."""
        answer = _answer(lambda: _run_script(call.name, _small_arguments(call)))
        planned = re.search(r"^soli\.train .*", answer.said, flags=re.MULTILINE)
        return self._soli(read_call(planned[0].replace(".", "-", 1))) if answer.code == 0 and planned else answer

    @contextlib.contextmanager
    def inside(self, variables: Iterable[str] = ()) -> Iterator[None]:
        """In the folder, which is the user's home too, with variables of the environment; all is afterwards as it was."""
        given = dict(variable.split("=", 1) for variable in variables)
        own = {"HOME": str(self.folder), "TORCH_HOME": str(self.folder / "torch"), "HF_HUB_OFFLINE": "1"}
        threads = torch.get_num_threads()
        with contextlib.ExitStack() as changes:
            changes.enter_context(contextlib.chdir(self.folder))
            changes.enter_context(mock.patch.dict(os.environ, {**own, **given}))
            changes.enter_context(mock.patch.object(sys, "path", [*filter(None, [given.get("PYTHONPATH")]), *sys.path]))
            changes.enter_context(mock.patch.multiple(Meteor, **NO_JAVA))
            try:
                yield
            finally:
                torch.use_deterministic_algorithms(False)
                torch.set_num_threads(threads)


def _made_by(call: Call) -> str:
    """The folder that a command makes, as far as its overrides say it; "" for none."""
    given = dict(override.partition("=")[::2] for override in call.overrides)
    if call.kind != "soli" or call.makes_several:
        return ""
    if call.name == "export":
        return given.get("to", "")
    default = f"runs/{given['experiment'].replace('/', '_')}" if list(given) == ["experiment"] else ""
    return given.get("run_dir", default) if call.name == "train" else ""


def _read_by(call: Call, config: dict) -> list[str]:
    """The runs and exported captioners that a command starts from."""
    given = dict(override.partition("=")[::2] for override in call.overrides)
    values = [given[key] for key in READ if key in given] + [config.get("init_from") or ""]
    return [folder for value in values for folder in re.findall(r"[\w.-]+(?:/[\w.-]+)+|^[\w.-]+$", value)]


def _small_arguments(call: Call) -> list[str]:
    """Of a script; what stands behind -- are overrides of soli.train."""
    place = call.arguments.index("--") if "--" in call.arguments else len(call.arguments)
    options, overrides = [*call.arguments[:place], *SMALL_SCRIPTS[call.name]], list(call.arguments[place + 1 :])
    if call.name != "scripts/linear_probe.py" or "--run" in options:
        return options
    return [*options, "--", *overrides, *small_parts(compose(overrides), ["dataset", "encoder"])]


def _told_to_install(name: str, call: Call) -> Answer:
    """Its jobs have been composed; whether SLURM would take them is not known here."""
    if find_spec("submitit") is not None:
        return Answer(0, "")
    answer = _answer(lambda: _main(name, call.arguments))
    return Answer(int("hydra-submitit-launcher" not in answer.said), answer.said)


def _main(name: str, arguments: Iterable[str]) -> None:
    with mock.patch.object(sys, "argv", [f"soli-{name}", *arguments]):
        importlib.import_module(f"soli.{name}").main()


def _code(program: str, arguments: Iterable[str]) -> None:
    with mock.patch.object(sys, "argv", ["-c", *arguments]):
        exec(compile(program, "-c", "exec"), {"__name__": "__main__"})


def _run_script(path: str, arguments: Iterable[str]) -> None:
    """A script as `python <path>` runs it; the modules beside it are forgotten afterwards."""
    before, handler = set(sys.modules), signal.getsignal(signal.SIGTERM)
    script = REPOSITORY / path
    try:
        with mock.patch.object(sys, "argv", [path, *arguments]), mock.patch.object(sys, "path", [str(script.parent), *sys.path]):
            runpy.run_path(str(script), run_name="__main__")
    finally:
        signal.signal(signal.SIGTERM, handler)
        for name in set(sys.modules) - before:
            if str(REPOSITORY / "scripts") in str(getattr(sys.modules[name], "__file__", "")):
                del sys.modules[name]


def _answer(program: Callable[[], None]) -> Answer:
    """The exit code of a program, and all that it said."""
    said, code = io.StringIO(), 0
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            program()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
            said.write("" if isinstance(end.code, int | None) else str(end.code))
    return Answer(code, said.getvalue())
