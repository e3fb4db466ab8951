"""Commands: exit codes, one line per error, sweeps, and no traces of Hydra."""

from __future__ import annotations

import errno
import logging
import os
import subprocess
import sys
import types
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from soli.configuration import command, compose, job_overrides
from soli.interfaces import SoliError

REPOSITORY = Path(__file__).parents[2]


class Console:
    """Runs `main` as a command would be run, in an empty folder; `jobs` are the overrides of each job that was reached."""

    def __init__(self, folder: Path, capture: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch) -> None:
        self.folder, self.capture, self.patch = folder, capture, patch
        self.jobs: list[list[str]] = []
        self.configs: list[DictConfig] = []

    def __call__(
        self, *arguments: str, name: str = "caption", action: Callable[[DictConfig], None] = lambda config: None
    ) -> tuple[int, str, str]:
        def main(config: DictConfig) -> None:
            self.jobs.append(job_overrides())
            self.configs.append(OmegaConf.create(OmegaConf.to_container(config, resolve=True)))
            assert Path.cwd() == self.folder
            action(config)

        job = types.ModuleType("soli_test_job")
        job.main = main
        self.patch.setitem(sys.modules, job.__name__, job)
        self.patch.setattr(sys, "argv", ["soli-test", *arguments])
        self.patch.chdir(self.folder)
        code: Any = 0
        try:
            command(name, job.__name__)()
        except SystemExit as end:
            code = end.code
        assert list(self.folder.iterdir()) == []
        output = self.capture.readouterr()
        return code, output.out, output.err


@pytest.fixture
def console(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Console:
    return Console(tmp_path, capsys, monkeypatch)


def raises(error: BaseException) -> Callable[[DictConfig], None]:
    def action(config: DictConfig) -> None:
        raise error

    return action


def test_command_runs_main_on_the_config_that_compose_gives(console: Console) -> None:
    handlers, level = list(logging.getLogger().handlers), logging.getLogger().level
    overrides = ["run=a", "images=[b.jpg]", "condition=R0.1S50"]
    assert console(*overrides) == (0, "", "")
    assert console.jobs == [overrides]
    assert console.configs == [compose(overrides, "caption")]
    assert (list(logging.getLogger().handlers), logging.getLogger().level) == (handlers, level)
    assert not GlobalHydra.instance().is_initialized() and not HydraConfig.initialized()


def test_command_refuses_mistakes_before_main_starts(console: Console) -> None:
    for overrides, message in (
        (["runn=a"], "error: runn=a: there is no key runn (did you mean run?)"),
        (["run=a"], "error: images must be given: add images=<value>."),
        (["run=a", "images=3"], "error: images=3 must be "),
    ):
        code, out, err = console(*overrides)
        assert (code, out) == (1, "") and err.startswith(message) and err.count("\n") == 1
    assert console.jobs == []


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (SoliError("No such run."), 1, "error: No such run."),
        (PermissionError(errno.EACCES, "Permission denied", "/runs/a"), 1, "error: /runs/a: Permission denied. Check its permissions"),
        (OSError(errno.ENOSPC, "No space left on device"), 1, "error: No space left on device. Free some space"),
        (OSError(errno.EROFS, "Read-only file system", "/x"), 1, "error: /x: Read-only file system. Nothing can be written there"),
        (FileNotFoundError(errno.ENOENT, "No such file", "a.jpg"), 1, "error: a.jpg: No such file. Check the path."),
        (KeyboardInterrupt(), 130, "Interrupted."),
        (KeyboardInterrupt("Stopped; continue with resume=a."), 130, "Stopped; continue with resume=a."),
    ],
    ids=repr,
)
def test_errors_of_main_are_one_line(console: Console, error: BaseException, code: int, line: str) -> None:
    returned, out, err = console("run=a", "images=[b]", action=raises(error))
    assert (returned, out) == (code, "") and err.startswith(line) and err.count("\n") == 1


@pytest.mark.parametrize("error", [RuntimeError("a bug"), OSError("a bug")], ids=repr)
def test_other_errors_keep_their_traceback(console: Console, error: Exception) -> None:
    with pytest.raises(type(error), match="a bug") as caught:
        console("run=a", "images=[b]", action=raises(error))
    assert caught.traceback[-1].name == "action"


def test_multirun_runs_a_job_for_each_combination(console: Console) -> None:
    code, out, err = console("images=[b]", "run=a,b", "--multirun", "checkpoint=best,last")
    assert (code, err) == (0, "")
    assert [job[1:] for job in console.jobs] == [[f"run={run}", f"checkpoint={name}"] for run in "ab" for name in ("best", "last")]
    assert [(config.run, config.checkpoint) for config in console.configs] == [(run, name) for run in "ab" for name in ("best", "last")]
    assert out.splitlines()[1] == "Job 2: images=[b] run=a checkpoint=last"
    assert logging.getLogger().level != logging.ERROR  # what Hydra's own `disabled` would set


def test_multirun_checks_every_job_before_the_first(console: Console) -> None:
    for override, message in (
        ("checkpoint=best,frist", "error: checkpoint=frist must be best or last"),
        ("runs=a,b", "error: runs=a: there is no key runs"),
        ("condition=interval(0,1)", "error: BasicSweeper does not support sweep type"),
    ):
        code, out, err = console("images=[b]", "run=a", override, "-m")
        assert (code, out) == (1, "") and err.startswith(message) and err.count("\n") == 1
    assert console.jobs == []


def test_multirun_sweeps_choices_with_keys_that_only_they_have(console: Console) -> None:
    assert console("-m", "encoder=resnet18,resnet50", "encoder.stages=2", "run_dir=runs/${hydra:job.num}", name="train")[0] == 0
    found = [(config.encoder.name, config.encoder.stages, config.run_dir) for config in console.configs]
    assert found == [("resnet18", 2, "runs/0"), ("resnet50", 2, "runs/1")]


def test_a_failing_job_leaves_the_others_running(console: Console) -> None:
    def fail_on_a(config: DictConfig) -> None:
        if config.run == "a":
            raise SoliError("a is broken.")

    code, _, err = console("images=[b]", "run=a,b", "-m", action=fail_on_a)
    assert (code, err) == (1, "error: a is broken.\nerror: job 1 (run=a) failed: a is broken.\n")
    assert [config.run for config in console.configs] == ["a", "b"]


PROGRAM = (
    "from soli.configuration import command\nfrom soli.interfaces import SoliError\n"
    "def main(config):\n"
    "    if config.run == 'a':\n        raise SoliError('No run today.')\n    print(config.run)\n"
    "if __name__ == '__main__':\n    command('caption', 'program')()\n"
)
FAILED = "error: No run today.\nerror: job 1 (run=a) failed: No run today.\n"  # when it happens, and in the end


def sweep(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """PROGRAM with --multirun in a folder of its own, with the packages that the tests have."""
    (folder / "program.py").write_text(PROGRAM, encoding="utf-8")
    paths = [str(REPOSITORY), str(folder), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(folder / "program.py"), "run=a,c", "images=[b]", "--multirun", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)


@pytest.mark.parametrize("given", [None, "mine"])
def test_a_launcher_that_is_named_keeps_its_notes(tmp_path: Path, given: str | None) -> None:
    """Jobs on other machines read what they are to do there, and leave their output; the user's own folder wins."""
    answer = sweep(tmp_path, "hydra/launcher=basic", *([f"hydra.sweep.dir={given}"] if given else []))
    assert (answer.returncode, answer.stderr) == (1, FAILED)
    (notes,) = tmp_path.glob("*/multirun.yaml") if given else tmp_path.glob("runs/sweeps/*/multirun.yaml")
    folder = notes.parent.relative_to(tmp_path)
    assert answer.stdout.splitlines()[0] == f"Notes on the sweep, and what its jobs print, are kept in {folder}" and (
        given is None or str(folder) == given
    )


@pytest.mark.skipif(find_spec("submitit") is not None, reason="hydra-submitit-launcher is installed")
def test_a_launcher_that_is_not_installed_is_named_with_its_package(console: Console) -> None:
    code, out, err = console("images=[b]", "run=a,b", "-m", "hydra/launcher=submitit_slurm")
    assert (code, out, console.jobs) == (1, "", []) and "pip install 'hydra-submitit-launcher>=1.2'" in err


def test_submitit_starts_the_jobs(tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="hydra-submitit-launcher is not installed")
    answer = sweep(tmp_path, "hydra/launcher=submitit_local")
    assert answer.returncode == 1, answer.stderr
    printed = sorted(path.read_text(encoding="utf-8") for path in tmp_path.glob("runs/sweeps/*/.submitit/*/*_log.out"))
    assert len(printed) == 2 and "\nc\n" in printed[1]
    assert any("error: No run today." in path.read_text(encoding="utf-8") for path in tmp_path.glob("runs/sweeps/*/.submitit/*/*_log.err"))


def test_an_interrupted_job_ends_the_sweep(console: Console) -> None:
    code, _, err = console("images=[b]", "run=a,b", "-m", action=raises(KeyboardInterrupt()))
    assert (code, err, len(console.jobs)) == (130, "Interrupted.\n", 1)


def test_cfg_prints_the_config_and_help_the_choices(console: Console) -> None:
    code, out, err = console("--cfg", "job", "seed=5", name="train")
    assert (code, err) == (0, "") and OmegaConf.create(out) == compose(["seed=5"])
    assert "run: ???" in console("--cfg", "job")[1]
    assert console("--cfg", "job", "sed=5", name="train")[:2] == (1, "")
    code, out, err = console("--help", name="train")
    assert (code, err) == (0, "") and "coco, flickr30k, flickr8k, folder, toy" in out and "epochs=10" in out
    assert console.jobs == []


def test_a_real_process_ends_with_the_right_code_and_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM, encoding="utf-8")
    (tmp_path / "empty").mkdir()
    arguments = [sys.executable, str(tmp_path / "program.py"), "run=a,c", "images=[b]", "--multirun"]
    environment = {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"}
    answer = subprocess.run(arguments, cwd=tmp_path / "empty", capture_output=True, text=True, env=environment)
    assert (answer.returncode, answer.stderr) == (1, FAILED)
    assert answer.stdout.splitlines() == ["Job 1: run=a images=[b]", "Job 2: run=c images=[b]", "c"]
    assert list((tmp_path / "empty").iterdir()) == []


def test_output_that_nobody_reads_any_more_is_no_error(tmp_path: Path) -> None:
    program = (
        "from soli.configuration import command\n"
        "def main(config):\n    for line in range(100_000):\n        print(line)\n"
        "if __name__ == '__main__':\n    command('caption', 'program')()\n"
    )
    (tmp_path / "program.py").write_text(program, encoding="utf-8")
    arguments = [sys.executable, str(tmp_path / "program.py"), "run=a", "images=[b]"]
    environment = {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"}
    with subprocess.Popen(arguments, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None and process.stdout.readline() == b"0\n"
        process.stdout.close()
        assert process.wait() == 1
        assert process.stderr is not None and process.stderr.read() == b""


@pytest.mark.parametrize("name", ["train", "evaluate", "caption", "export"])
def test_help_does_not_wait_for_pytorch(name: str) -> None:
    program = (
        f"import sys\nsys.argv = ['soli', '--help']\nfrom soli.{name} import main\nmain()\n"
        "slow = {'torch', 'transformers', 'nltk', 'scipy', 'accelerate', 'matplotlib'} & sys.modules.keys()\n"
        "sys.exit(f'imported {slow}' if slow else 0)"
    )
    answer = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True)
    assert (answer.returncode, answer.stderr) == (0, "") and f"{name}.yaml" in answer.stdout
