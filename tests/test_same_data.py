"""What evaluation, resume and init_from say of data: nothing of the same ones, one sentence of others, wherever they lie."""

from __future__ import annotations

import importlib
import shutil
import sys
from pathlib import Path

import pytest
from PIL import Image

from soli.datasets import ToyDataset, data_fingerprint
from soli.jobs.same_data import say_of_data
from tests.test_commands import SMALL, run  # noqa: F401 - a fixture


def photographs(folder: Path, shade: int = 0) -> Path:
    """A dataset of ten grey photographs."""
    (folder / "images").mkdir(parents=True)
    rows = ["image,caption,split"]
    for index, split in enumerate(["train"] * 6 + ["val"] * 2 + ["test"] * 2):
        Image.new("L", (24, 24), 20 * index + shade).save(folder / "images" / f"{index}.png")
        rows.append(f"{index}.png,a grey square number {index},{split}")
    (folder / "captions.csv").write_text("\n".join(rows), encoding="utf-8")
    return folder


SAID = "not those that the run"
UNTOLD = "does not say what data"
QUICK = ["variant.phases.caption.epochs=1", "validation.conditions=[original]"]
OWN = [*SMALL[3:], *QUICK, "dataset=folder", "loader.batch_size=3"]


@pytest.fixture(scope="module")
def of_folder(tmp_path_factory):
    """A run of a folder of photographs, and that folder."""
    folder = tmp_path_factory.mktemp("own")
    data = photographs(folder / "data")
    argv, sys.argv = sys.argv, ["soli-train", *OWN, f"dataset.root={data}", f"run_dir={folder / 'run'}"]
    try:
        importlib.import_module("soli.train").main()
    finally:
        sys.argv = argv
    return folder / "run", data


@pytest.fixture
def copied(of_folder, tmp_path):
    """Copies of the run and of its data, which a test may change. The data lie elsewhere than the run remembers."""
    shutil.copytree(of_folder[0], tmp_path / "run")
    shutil.copytree(of_folder[1], tmp_path / "data")
    return tmp_path / "run", tmp_path / "data"


def evaluated(run, folder, data, *overrides):  # noqa: F811
    answer = run("evaluate", f"run={folder}", f"dataset.root={data}", "metrics=[CIDEr]", "conditions=[R0.5S1]", "cost=false", *overrides)
    assert answer.code == 0, answer.err
    return answer.out


def test_an_evaluation_says_nothing_of_the_same_data_and_one_sentence_of_others(run, copied):  # noqa: F811
    folder, data = copied
    assert SAID not in (out := evaluated(run, folder, data)) and UNTOLD not in out
    Image.new("L", (24, 24), 3).save(data / "images" / "8.png")  # of the test split
    (data / "captions.csv").write_text((data / "captions.csv").read_text().replace("number 6", "number six"))
    (sentence,) = [line for line in evaluated(run, folder, data).splitlines() if SAID in line]
    assert str(folder) in sentence and "test: content of the photographs" in sentence and "val: captions" in sentence
    assert "train:" not in sentence
    out = evaluated(run, folder, data, "dataset.limit=1")
    assert SAID not in out and "No more than the first 1 photographs of test are evaluated (dataset.limit)." in out


@pytest.mark.parametrize("content", [None, "{}", "[1]", '{"fingerprint": {"splits": {"test": 3}}}', "no json", "[" * 100_000])
def test_a_run_without_a_fingerprint_is_said_to_have_none(tmp_path, capsys, content):
    if content is not None:
        (tmp_path / "data.json").write_text(content)
    say_of_data(tmp_path, data_fingerprint(ToyDataset(num_train=2, num_val=1, num_test=1)))
    (sentence,) = capsys.readouterr().out.splitlines()
    assert str(tmp_path) in sentence and UNTOLD in sentence


def test_an_older_run_is_evaluated_with_a_sentence(run, copied):  # noqa: F811
    folder, data = copied
    (folder / "data.json").unlink()
    out = evaluated(run, folder, data)
    assert out.count(UNTOLD) == 1 and SAID not in out


def test_resuming_says_which_photographs_differ_and_refuses_other_captions_as_before(run, copied):  # noqa: F811
    folder, data = copied
    config = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(config.replace(next(line for line in config.splitlines() if " root:" in line), f"  root: {data}"))
    (folder / "last.safetensors").unlink()  # as if it was stopped at once
    Image.new("L", (24, 24), 3).save(data / "images" / "0.png")
    answer = run("train", f"resume={folder}", "runtime.max_steps=1")
    assert answer.code == 0 and answer.out.count(SAID) == 1 and "(train: content of the photographs)" in answer.out
    (data / "captions.csv").write_text((data / "captions.csv").read_text().replace("number 0", "number 1"))
    answer = run("train", f"resume={folder}")
    assert answer.code != 0 and "dataset was captions" in answer.err


def test_a_start_from_another_run_says_whether_its_data_were_others(run, of_folder, tmp_path):  # noqa: F811
    folder, data = of_folder
    other = photographs(tmp_path / "other", shade=1)
    for root, says in ((data, False), (other, True)):
        answer = run("train", *OWN, f"dataset.root={root}", f"init_from={folder}", f"run_dir={tmp_path / f'from_{says}'}")
        assert answer.code == 0, answer.err
        assert (SAID in answer.out) == says
    assert "train: content of the photographs; val: content" in answer.out
