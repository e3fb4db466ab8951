"""An encoder that is divided between two processes: the same losses, scores and files as in one process, also of a run that was stopped."""

import os
import subprocess
import sys

import pytest
from safetensors.torch import load_file

from soli.interfaces import SoliError
from tests.training.sharding_cases import CASES, train_case
from tests.training.small_runs import logged, numbers, toy_data


@pytest.fixture(scope="module")
def data():
    return toy_data()


@pytest.fixture(scope="module")
def divided(tmp_path_factory):
    """Where two processes have put the runs of all cases."""
    folder = tmp_path_factory.mktemp("divided")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command += ["-m", "tests.training.sharding_cases", str(folder)]
    answer = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert answer.returncode == 0, answer.stderr[-3000:]
    return folder


@pytest.fixture(scope="module")
def alone(data, tmp_path_factory):
    """The runs of one process."""
    folder = tmp_path_factory.mktemp("alone")
    for number, case in enumerate(CASES):
        (folder / str(number)).mkdir()
        train_case(case, folder / str(number) / "whole", data, shard=True)  # alone there is nobody to share with
    return folder


def assert_equal(first, second, name, kinds):
    one, two = load_file(first / name), load_file(second / name)
    assert one.keys() == two.keys()
    for tensor in one:
        assert one[tensor].shape == two[tensor].shape and (one[tensor] - two[tensor]).abs().max() < 1e-5, tensor
    for kind in kinds:
        lines = logged(first, kind)
        assert lines
        for mine, theirs in zip(lines, logged(second, kind), strict=True):
            assert numbers(mine) == pytest.approx(numbers(theirs), abs=1e-5, rel=1e-5)


@pytest.mark.parametrize("place", range(len(CASES)), ids=list(CASES))
def test_it_trains_validates_and_saves_as_in_one_process(alone, divided, place):
    for name in ("last.safetensors", "best.safetensors"):
        assert_equal(alone / str(place) / "whole", divided / str(place) / "whole", name, ("train", "epoch", "validation"))


@pytest.mark.parametrize("place", range(len(CASES)), ids=list(CASES))
def test_a_run_that_was_stopped_ends_as_one_that_was_not(divided, place):
    assert_equal(divided / str(place) / "whole", divided / str(place) / "stopped", "last.safetensors", ("train", "epoch"))


@pytest.mark.parametrize("place", range(len(CASES)), ids=list(CASES))
def test_one_process_may_go_on_from_a_divided_run(data, alone, divided, place):
    train_case(list(CASES)[place], divided / str(place) / "left", data, resume=True)
    assert_equal(alone / str(place) / "whole", divided / str(place) / "left", "last.safetensors", ("train", "epoch"))


def test_accelerates_own_way_is_refused(data, tmp_path, monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(SoliError, match=r"torchrun and runtime\.shard=true"):
        train_case("captions", tmp_path / "run", data)
