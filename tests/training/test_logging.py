"""The log: lines of JSON that a resumed run cuts back to where it resumes."""

import json

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
