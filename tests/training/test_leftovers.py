"""What killed trainings leave: unfinished files go, and a run whose last checkpoint is gone is not silently trained anew."""

import json

import pytest
from torch import nn

from soli.interfaces import SoliError
from soli.training.checkpoint import BEST, LAST, Progress, save_checkpoint
from soli.training.leftovers import check_last, forget_lost_best, remove_unfinished


def test_only_unfinished_files_are_removed(tmp_path):
    for name in ("last.partial", "best.partial", "metrics.partial", "metrics.jsonl.partial", "last.safetensors", "notes.txt"):
        (tmp_path / name).write_text(name)
    remove_unfinished(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.safetensors", "notes.txt"]


@pytest.mark.parametrize("reached", [Progress(epoch=2, step=6), Progress(phase=1, step=4)])
def test_a_last_checkpoint_that_was_there_once_is_missed(tmp_path, reached):
    save_checkpoint(tmp_path / BEST, nn.Linear(2, 2), reached)
    with pytest.raises(SoliError, match=rf"{LAST}.*missing.*step {reached.step}.*init_from="):
        check_last(tmp_path)
    save_checkpoint(tmp_path / LAST, nn.Linear(2, 2), reached)
    check_last(tmp_path)


def test_a_run_killed_before_its_first_save_begins_again(tmp_path):
    check_last(tmp_path)
    save_checkpoint(tmp_path / BEST, nn.Linear(2, 2), Progress(epoch=1, step=3))
    check_last(tmp_path)


def test_a_log_with_two_validations_tells_of_a_last_checkpoint(tmp_path):
    save_checkpoint(tmp_path / BEST, nn.Linear(2, 2), Progress(epoch=1, step=3))
    line = json.dumps({"step": 3, "kind": "validation", "CIDEr": 0.5}) + "\n"
    (tmp_path / "metrics.jsonl").write_text(line)
    check_last(tmp_path)
    (tmp_path / "metrics.jsonl").write_text(line + line)
    with pytest.raises(SoliError, match=f"{LAST}.*missing"):
        check_last(tmp_path)


def test_a_lost_best_checkpoint_is_said_and_made_again(tmp_path, capsys):
    progress = Progress(epoch=2, best_score=0.5, validations_without_gain=1)
    save_checkpoint(tmp_path / BEST, nn.Linear(2, 2), progress)
    forget_lost_best(tmp_path, progress)
    assert progress.best_score == 0.5 and capsys.readouterr().out == ""
    (tmp_path / BEST).unlink()
    forget_lost_best(tmp_path, progress)
    assert (progress.best_score, progress.validations_without_gain) == (None, 0)
    assert "score of 0.500, is missing: the next validation saves another" in capsys.readouterr().out
