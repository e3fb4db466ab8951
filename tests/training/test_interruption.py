"""Signals during a training: the first is noted, the second ends it at once, unless it is the same request once more."""

import fcntl
import os
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from soli.training import interruption
from soli.training.checkpoint import read_progress
from soli.training.interruption import StopRequest
from tests.processes import HAS_PROC, ends


@pytest.fixture(autouse=True)
def without_torchrun(monkeypatch):
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)


@pytest.fixture
def hang_up():
    """The answer to SIGHUP as it is in a terminal, whatever these tests were started with."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield signal.SIGHUP
    signal.signal(signal.SIGHUP, before)


def test_the_second_signal_ends_it_at_once_with_advice():
    before = signal.getsignal(signal.SIGTERM)
    with StopRequest("continue with resume=runs/a") as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.requested == "SIGTERM"
        for number in (signal.SIGINT, signal.SIGTERM):
            with pytest.raises(KeyboardInterrupt, match="at once by a second signal; continue with resume=runs/a"):
                os.kill(os.getpid(), number)
    assert signal.getsignal(signal.SIGTERM) is before


def test_work_that_keeps_what_it_has_done_is_stopped_with_advice():
    with StopRequest("continue with resume=runs/a") as stop:
        check_stop = stop.stops("while features were made")
        check_stop()
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt, match="Stopped by SIGTERM while features were made; continue with resume=runs/a"):
            check_stop()


def test_what_torchrun_passes_on_is_no_second_signal(monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    times = iter([100.0, 101.0, 100.0 + interruption.REPEATED + 1])
    monkeypatch.setattr(interruption.time, "monotonic", lambda: next(times))
    with StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.requested == "SIGTERM"
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)


def test_a_closed_terminal_is_one_request_of_several_signals(hang_up, monkeypatch):
    """The shell's and the system's SIGHUP, and SIGTERM of who ends a user's processes."""
    times = iter([100.0, 101.0, 100.0 + interruption.REPEATED + 1])
    monkeypatch.setattr(interruption.time, "monotonic", lambda: next(times))
    with StopRequest() as stop:
        for number in (hang_up, hang_up, signal.SIGTERM):
            os.kill(os.getpid(), number)
        assert stop.requested == "SIGHUP"
        with pytest.raises(KeyboardInterrupt, match="second signal"):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(hang_up) is signal.SIG_DFL


def test_closing_the_terminal_is_no_second_request(hang_up):
    with StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), hang_up)
        assert stop.requested == "SIGTERM"


def test_a_hang_up_that_is_ignored_stays_so(hang_up):
    signal.signal(hang_up, signal.SIG_IGN)
    with StopRequest() as stop:
        os.kill(os.getpid(), hang_up)
        assert stop.requested is None
    assert signal.getsignal(hang_up) is signal.SIG_IGN


TRAINING = "epochs=1000 dataset.num_train=20 dataset.num_val=4 dataset.num_test=4 encoder.feature_dim=32 loader.batch_size=2"


@pytest.mark.skipif(not HAS_PROC, reason="there is no /proc")
def test_a_training_whose_terminal_is_closed_saves_and_leaves_nobody_behind(tmp_path):
    """A terminal of its own, in which it writes all the time."""
    ours, theirs = os.openpty()

    def begin():
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)

    words = [*TRAINING.split(), "validation.every_epochs=1000", "logging.every_steps=1", "runtime.workers=1", "runtime.threads=1"]
    command = [sys.executable, "-m", "soli.train", *words, f"run_dir={tmp_path / 'run'}"]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True, preexec_fn=begin)
    os.close(theirs)
    os.set_blocking(ours, False)
    log, said = tmp_path / "run" / "metrics.jsonl", b""
    try:
        while not (log.exists() and log.read_bytes().count(b"\n") > 4):
            assert process.poll() is None, said.decode()
            said += read(ours)
            time.sleep(0.02)
        workers = [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
        os.close(ours)
        assert process.wait(60) == 130
    finally:
        process.kill()
    assert ends(*workers)
    assert read_progress(tmp_path / "run" / "last.safetensors").step == log.read_bytes().count(b'"kind": "train"') >= 5


def read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except BlockingIOError:
        return b""
