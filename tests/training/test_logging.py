"""The log: lines of JSON that a resumed run cuts back to where it resumes."""

import json
import os
from pathlib import Path

import pytest

from soli.interfaces import SoliError
from soli.training.logging import MetricsLog


def steps(folder):
    return [json.loads(line)["step"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_lines_after_the_resumed_step_and_broken_lines_go(tmp_path):
    with MetricsLog(tmp_path) as log:
        for step in range(1, 6):
            log.write(step, loss=1.0 / step)
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write('{"step": 6, "lo')
    with MetricsLog(tmp_path, resume_step=3) as log:
        log.write(4, loss=0.1)
    assert steps(tmp_path) == [1, 2, 3, 4]


def test_tensorboard_gets_the_same_figures(tmp_path):
    with MetricsLog(tmp_path, tensorboard=True) as log:
        log.write(1, kind="train", loss=0.5, phase="caption")
    assert list((tmp_path / "tensorboard").glob("events*"))


def test_lines_of_the_checkpoints_own_step_that_it_does_not_know_go(tmp_path):
    with MetricsLog(tmp_path) as log:
        log.write(1)
        log.write(2, kind="train")
        known = log.keep()
        log.write(2, kind="validation")
    with MetricsLog(tmp_path, resume_step=2, resume_lines=known) as log:
        assert log.num_lines == 2
        log.write(2, kind="validation")
        assert log.num_lines == 3
    assert steps(tmp_path) == [1, 2, 2]


@pytest.mark.parametrize("spoilt", [b"\0\0\0\0\n", b'"step"\n', b"3\n", b'{"loss": 1}\n', b"\xff\xfe\n", b'{"step": 2}'])
def test_a_log_is_cut_where_it_is_spoilt(tmp_path, spoilt):
    with MetricsLog(tmp_path) as log:
        log.write(1)
    with open(tmp_path / "metrics.jsonl", "ab") as file:
        file.write(spoilt)
    with MetricsLog(tmp_path, resume_step=9) as log:
        log.write(5)
    assert steps(tmp_path) == [1, 5]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_is_told_with_what_to_do(tmp_path):
    (tmp_path / "metrics.jsonl").symlink_to("/dev/full")
    said = r"metrics\.jsonl.*[Nn]o space left.*Free some space there, then continue with python -m soli.train resume="
    with pytest.raises(SoliError, match=said), MetricsLog(tmp_path) as log:
        log.write(1, loss=0.5)


def test_a_log_that_is_cut_back_is_on_the_disk_before_it_replaces_the_old_one(tmp_path, monkeypatch):
    """After a crash of the machine it would else be empty, although the checkpoint counts on its lines."""
    with MetricsLog(tmp_path) as log:
        for step in range(1, 4):
            log.write(step)
    plain, synced = os.fsync, []
    monkeypatch.setattr("os.fsync", lambda number: synced.append((os.fstat(number).st_size, len(steps(tmp_path)))) or plain(number))
    MetricsLog(tmp_path, resume_step=2).close()
    assert synced == [((tmp_path / "metrics.jsonl").stat().st_size, 3)] and steps(tmp_path) == [1, 2]
