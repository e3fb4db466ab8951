"""Jobs in processes of their own: how many at a time, where, how they end, and what signals do. A shell stands for soli."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from soli.configuration import side_by_side
from soli.configuration.jobs import Job, Outcome
from tests.processes import ends

WAIT = "while :; do sleep 0.05; done"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[int, Outcome]]:
    """Runs jobs whose overrides are a line of shell each, with `$0` and so on as the arguments of the command."""
    (tmp_path / "shell").write_text('#!/bin/sh\nfor last; do case "$last" in line=*) line=${last#line=};; esac; done\neval "$line"\n')
    (tmp_path / "shell").chmod(0o755)
    monkeypatch.setattr(side_by_side.sys, "executable", str(tmp_path / "shell"))

    def call(at_a_time: int, *lines: str, into: dict[int, Outcome] | None = None, device: str = "auto") -> dict[int, Outcome]:
        config = OmegaConf.create({"runtime": {"device": device}, "hydra": {"overrides": {"hydra": ["hydra.mode=MULTIRUN", "a=b"]}}})
        jobs = [Job(number, [f"line={line}"], config, f"line {number}") for number, line in enumerate(lines)]
        outcomes: dict[int, Outcome] = {} if into is None else into
        side_by_side.run("train", jobs, at_a_time, tmp_path / "notes", outcomes)
        return outcomes

    return call


def log(folder: Path, number: int) -> str:
    path = folder / "notes" / f"job{number}.log"
    return path.read_text() if path.exists() else ""


def in_a_while(ready: Callable[[], bool], *signals: int) -> threading.Thread:
    """Sends signals to this process once something has happened, with a pause between them."""

    def send() -> None:
        deadline = time.monotonic() + 30
        while not ready() and time.monotonic() < deadline:
            time.sleep(0.02)
        for number in signals:
            os.kill(os.getpid(), number)
            time.sleep(0.5)

    thread = threading.Thread(target=send)
    thread.start()
    return thread


def test_jobs_end_as_they_end(run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = ["echo fine", "echo 'error: No run today.'; echo more; exit 1", "echo so; echo 'ValueError: bad' >&2; exit 3", "kill -9 $$"]
    outcomes = run(2, *lines)
    killed = f"its process was ended by SIGKILL; see the end of {tmp_path / 'notes' / 'job4.log'}."
    assert outcomes == {0: (0, ""), 1: (1, "No run today."), 2: (1, "ValueError: bad"), 3: (1, killed)}
    out = capsys.readouterr().out
    assert f"Job 1 begins: line 0 (what it prints is in {tmp_path / 'notes' / 'job1.log'})" in out
    assert out.count(" is done after ") == 1 and out.count(" has failed after ") == 3


def test_as_many_run_at_a_time_as_was_said(run, tmp_path: Path) -> None:
    line = f"touch {tmp_path}/$$.runs; ls {tmp_path} | grep -c runs; sleep 0.3; rm {tmp_path}/$$.runs"
    run(2, *[line] * 5)
    seen = [int(log(tmp_path, number)) for number in range(1, 6)]
    assert max(seen) == 2, seen


def test_it_is_said_how_far_jobs_are(run, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(side_by_side, "FIRST_NEWS", 0.1)
    monkeypatch.setattr(side_by_side, "MOST_SECONDS", 0.1)
    seen = []
    monkeypatch.setattr(side_by_side, "printable", lambda line: seen.append(line) or line)
    told = in_a_while(lambda: "Job 1: caption 1/2: 20%" in seen and "Job 2: nothing yet" in seen)
    threading.Thread(target=lambda: (told.join(), (tmp_path / "told").touch())).start()
    wait = f"while [ ! -e {tmp_path}/told ]; do sleep 0.05; done"
    run(2, rf"printf 'begun\ncaption 1/2: 10%%\rcaption 1/2: 20%%'; {wait}", wait)
    out = capsys.readouterr().out
    assert "Job 1: caption 1/2: 20%\n" in out and "Job 2: nothing yet\n" in out


def test_a_job_is_told_its_number_and_that_it_is_one_job(run, tmp_path: Path) -> None:
    run(1, 'echo "$@"', 'echo "$@"')
    for number in (1, 2):
        first, *rest = log(tmp_path, number).split()
        assert [first, rest[0]] == ["-m", "soli.train"] and "hydra.mode=MULTIRUN" not in rest
        assert rest[1] == "a=b" and rest[-3:] == ["hydra.mode=RUN", f"hydra.job.id={number - 1}", f"hydra.job.num={number - 1}"]


@pytest.mark.parametrize(
    ("visible", "device", "given"),
    [(None, "auto", ["0", "1"]), ("3,5", "cuda", ["3", "5"]), ("7", "auto", ["7", "7"]), ("3,5", "cuda:1", ["3,5", "3,5"])],
)
def test_a_job_has_its_share_of_threads_and_a_gpu_of_its_own(run, tmp_path: Path, monkeypatch, visible, device, given) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(side_by_side.torch, "get_num_threads", lambda: 9)
    monkeypatch.setattr(side_by_side.torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    run(2, *["echo $OMP_NUM_THREADS $CUDA_VISIBLE_DEVICES"] * 2, device=device)
    assert [log(tmp_path, number).split() for number in (1, 2)] == [["4", device] for device in given]
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    run(2, *["echo $OMP_NUM_THREADS"] * 2)
    assert log(tmp_path, 2).split()[-1] == "3"  # what the user has said counts


def test_ctrl_c_is_passed_on_once_and_no_other_job_begins(run, tmp_path: Path) -> None:
    line = f"trap 'echo Stopped by SIGINT; exit 130' INT; echo begun; {WAIT}"
    outcomes: dict[int, Outcome] = {}
    sender = in_a_while(lambda: "begun" in log(tmp_path, 1) and "begun" in log(tmp_path, 2), signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        run(2, line, line, "echo third", into=outcomes)
    sender.join()
    assert outcomes == {0: (130, "Stopped by SIGINT"), 1: (130, "Stopped by SIGINT")} and log(tmp_path, 3) == ""


def test_a_second_signal_kills_them(run, tmp_path: Path) -> None:
    outcomes: dict[int, Outcome] = {}
    before = signal.getsignal(signal.SIGINT)
    sender = in_a_while(lambda: log(tmp_path, 1).endswith("\n"), signal.SIGINT, signal.SIGINT)
    with pytest.raises(KeyboardInterrupt, match="second signal"):
        run(1, f"trap '' INT; echo $$; {WAIT}", into=outcomes)
    sender.join()
    assert outcomes == {} and ends(int(log(tmp_path, 1)))
    assert signal.getsignal(signal.SIGINT) is before
