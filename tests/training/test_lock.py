"""The lock of a run folder: one process holds it, the system frees it however that one ends, and a disk without locks is no error."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from soli.interfaces import SoliError
from soli.training.lock import LOCK, RunLock

HOLDER = """
import os, sys, time
from pathlib import Path
from soli.training.lock import RunLock
with RunLock() as lock:
    lock.take(Path(sys.argv[1]))
    child = os.fork() if "fork" in sys.argv else 1
    if child:
        print(child, flush=True)
    if "leave" not in sys.argv:
        time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path):
    """Starts another process that locks the folder; it holds the lock when the number that it prints is there."""
    begun = []

    def begin(*words):
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        command = [sys.executable, "-c", HOLDER, str(tmp_path / "run"), *words]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True)
        begun.append(process)
        process.child = int(process.stdout.readline())
        return process

    yield begin
    for process in begun:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()


def test_another_process_is_refused_by_name(holder, tmp_path):
    process = holder()
    with pytest.raises(SoliError) as refusal, RunLock() as lock:
        lock.take(tmp_path / "run")
    assert all(word in str(refusal.value) for word in (str(tmp_path / "run"), str(process.pid), "another run_dir"))
    assert (tmp_path / "run" / LOCK).exists()


def test_kill_9_frees_it_though_a_forked_process_lives_on(holder, tmp_path):
    process = holder("fork")
    process.kill()
    process.wait()
    with RunLock() as lock:
        lock.take(tmp_path / "run")
        assert (tmp_path / "run" / LOCK).read_text().split()[0] == str(os.getpid())
    os.kill(process.child, signal.SIGKILL)  # it was there until now


def test_an_orderly_end_leaves_no_file(holder, tmp_path):
    assert holder("leave").wait() == 0
    assert list((tmp_path / "run").iterdir()) == []
    for _ in range(2):
        with RunLock() as lock:
            lock.take(tmp_path / "run")
    assert list((tmp_path / "run").iterdir()) == []


def test_a_file_that_its_holder_has_just_removed_is_opened_anew(tmp_path, monkeypatch):
    import fcntl

    real, calls = fcntl.lockf, []

    def lockf(file, how):
        real(file, how)
        calls.append(how)
        if len(calls) == 1:
            (tmp_path / LOCK).unlink()

    monkeypatch.setattr(fcntl, "lockf", lockf)
    with RunLock() as lock:
        lock.take(tmp_path)
        assert len(calls) == 2 and (tmp_path / LOCK).exists()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_disk_without_locks_is_told_and_used(tmp_path, monkeypatch, capsys, number):
    def lockf(_file, _how):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.lockf", lockf)
    with RunLock() as lock:
        lock.take(tmp_path)
    assert f"{tmp_path} cannot lock files" in capsys.readouterr().out


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("mine")
    with (
        pytest.raises(SoliError, match=r"file.run cannot be written.*another run_dir"),
        RunLock() as lock,
    ):
        lock.take(tmp_path / "file" / "run")
