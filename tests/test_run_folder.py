"""Which folders a new run may have: what is strange in them is named, what trainings, shells and Hydra leave there is not."""

import pytest

from soli import disks
from soli.interfaces import SoliError
from soli.jobs.run_folder import check_run_dir
from soli.runs import write_run
from soli.training.lock import RunLock
from soli.vocabulary import Vocabulary


def test_new_and_empty_folders_and_files_are_left_to_others(tmp_path):
    check_run_dir(tmp_path / "new")
    check_run_dir(tmp_path)
    (tmp_path / "file").touch()
    check_run_dir(tmp_path / "file")
    check_run_dir(tmp_path / "file" / "run")


@pytest.mark.parametrize("killed", [1, 2, 3])
def test_what_a_training_that_was_killed_as_it_began_has_left_is_no_hindrance(tmp_path, monkeypatch, killed):
    """Before each of its files is in its place, the config last of all."""
    replace, calls = disks.os.replace, iter(range(1, 100))

    def kill(source, target):
        if next(calls) == killed:
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(disks.os, "replace", kill)
    lock = RunLock()
    lock.take(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        write_run(tmp_path, {"seed": 0}, Vocabulary.build(["a dog"], 1), {})
    check_run_dir(tmp_path)
    write_run(tmp_path, {"seed": 0}, Vocabulary.build(["a dog"], 1), {})
    with pytest.raises(SoliError, match="already holds a run"):
        check_run_dir(tmp_path)


def test_output_of_shells_clusters_and_hydra_is_no_hindrance(tmp_path):
    for name in ("train.log", "log.txt", "slurm-12.out", "slurm-12.err", "nohup.out", ".gitkeep", ".DS_Store"):
        (tmp_path / name).touch()
    (tmp_path / ".hydra").mkdir()
    (tmp_path / "features" / "part").mkdir(parents=True)
    for features in ("features", "features/part"):
        check_run_dir(tmp_path, str(tmp_path / features))
    with pytest.raises(SoliError, match="it holds features/. Give"):
        check_run_dir(tmp_path, str(tmp_path.parent / "features"))


def test_anything_else_is_named(tmp_path):
    for number in range(6):
        (tmp_path / f"letter{number}.pdf").touch()
    (tmp_path / "holidays").mkdir()
    (tmp_path / "train.log").touch()
    with pytest.raises(SoliError) as refusal:
        check_run_dir(tmp_path)
    assert str(refusal.value) == (
        f"run_dir={tmp_path} is no run folder, and not empty: it holds holidays/, letter0.pdf, letter1.pdf, letter2.pdf, letter3.pdf and 2 "
        f"more. Give a folder that is new or empty, for example run_dir={tmp_path}/run."
    )
