"""Resume: stopped anywhere, in any variant, and resumed, a run ends with the weights and the log of an uninterrupted one, to the bit."""

import os
import random
import shutil
import signal
import subprocess
import sys

import pytest
from safetensors.torch import load_file

from soli.interfaces import SoliError
from soli.training import loop
from soli.training.checkpoint import read_progress
from soli.training.settings import LoaderSettings, RuntimeSettings
from tests.training.small_runs import VARIANTS, logged, make_model, make_recipe, run, same, toy_data

SETTINGS = [*((variant, "shared") for variant in VARIANTS), ("half", "ema"), ("par", "frozen"), ("con", "ema")]
STOPS = [(variant, anchor, stop) for variant, anchor in SETTINGS for stop in range(3)]


@pytest.fixture(scope="module")
def data():
    return toy_data()


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """The uninterrupted run of each setting: its folder and weights, trained when first asked for."""
    folders = {}

    def get(variant, anchor):
        if (variant, anchor) not in folders:
            folder = tmp_path_factory.mktemp("whole") / "run"
            folders[variant, anchor] = folder, run(make_recipe(variant, anchor=anchor), folder, make_model(data.tokenizer), data)
        return folders[variant, anchor]

    return get


def stop_at(monkeypatch, step, number):
    """Sends the signal in the middle of a step."""
    real, calls = loop._figures, iter(range(1000))

    def figures(*arguments):
        if next(calls) == step - 1:
            os.kill(os.getpid(), number)
        return real(*arguments)

    monkeypatch.setattr(loop, "_figures", figures)


@pytest.mark.parametrize(("variant", "anchor", "stop"), STOPS)
def test_a_run_stopped_anywhere_and_resumed_equals_an_uninterrupted_one(data, whole, tmp_path, monkeypatch, variant, anchor, stop):
    folder, expected = whole(variant, anchor)
    num_steps = read_progress(folder / "last.safetensors").step
    step = random.Random(f"{variant}{anchor}{stop}").randint(1, num_steps - 1)
    number = [signal.SIGTERM, signal.SIGINT, signal.SIGTERM][stop]
    recipe = make_recipe(variant, anchor=anchor)
    with monkeypatch.context() as patches:
        stop_at(patches, step, number)
        with pytest.raises(KeyboardInterrupt, match=f"after step {step}"):
            run(recipe, tmp_path / "run", make_model(data.tokenizer), data)
    assert read_progress(tmp_path / "run" / "last.safetensors").step == step
    workers = RuntimeSettings(workers=2 if stop == 2 and anchor == "shared" else 0)
    resumed = run(make_recipe(variant, anchor=anchor, runtime=workers), tmp_path / "run", make_model(data.tokenizer), data, resume=True)
    assert same(resumed, expected)
    assert logged(tmp_path / "run") == logged(folder)


@pytest.mark.parametrize("step", [1, 3, 5, 6, 7, 9, 11])
def test_con_resumes_at_every_kind_of_place(data, whole, tmp_path, monkeypatch, step):
    """Steps 1-6 are the first phase, 3, 6 and 9 end an epoch, 6 ends the phase."""
    folder, expected = whole("con", "shared")
    with monkeypatch.context() as patches:
        stop_at(patches, step, signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            run(make_recipe("con"), tmp_path / "run", make_model(data.tokenizer), data)
    assert same(run(make_recipe("con"), tmp_path / "run", make_model(data.tokenizer), data, resume=True), expected)
    assert logged(tmp_path / "run") == logged(folder)


def test_a_run_can_be_stopped_again_and_again(data, whole, tmp_path, monkeypatch):
    _, expected = whole("par", "frozen")
    model, recipe = make_model(data.tokenizer), make_recipe("par", anchor="frozen")
    for attempt in range(5):
        with monkeypatch.context() as patches:
            stop_at(patches, 1, signal.SIGTERM)
            with pytest.raises(KeyboardInterrupt):
                run(recipe, tmp_path / "run", make_model(data.tokenizer), data, resume=attempt > 0)
    assert same(run(recipe, tmp_path / "run", model, data, resume=True), expected)


SMALL = [
    "dataset.num_train=20",
    "dataset.num_val=4",
    "dataset.num_test=4",
    "encoder.feature_dim=32",
    "encoder.input_size=32",
    "decoder.hidden_dim=32",
    "decoder.attention_dim=16",
    "decoder.embedding_dim=16",
    "vocabulary.min_count=1",
    "loader.batch_size=8",
    "degradation=toy",
    "variant=con",
    "variant.phases.contrastive.epochs=2",
    "variant.phases.caption.epochs=2",
    "siamese.anchor=ema",
]

KILLED = """
import os, signal, sys
from soli.training import checkpoint

def killed_when_called(function, call):
    calls = iter(range(1000))
    def wrapped(tensors, *rest, **others):
        is_checkpoint = inside == "save_file" or str(rest[0]).endswith(".safetensors")  # other files are replaced too
        if is_checkpoint and next(calls) == call:
            if inside == "save_file":  # half of the file is written
                open(rest[0], "wb").write(b"half of a checkpoint")
            os.kill(os.getpid(), signal.SIGKILL)
        return function(tensors, *rest, **others)
    return wrapped

inside, call = sys.argv.pop(1), int(sys.argv.pop(1))
if inside == "save_file":
    checkpoint.save_file = killed_when_called(checkpoint.save_file, call)
elif inside == "replace":  # written, and not yet in its place
    checkpoint.os.replace = killed_when_called(os.replace, call)
from soli.train import main
main()
"""


def command(*arguments):
    return subprocess.run([sys.executable, "-c", KILLED, *map(str, arguments)], capture_output=True, text=True)


def test_kill_9_inside_a_save_loses_nothing(tmp_path):
    answer = command("nowhere", 0, *SMALL, f"run_dir={tmp_path / 'whole'}")
    assert answer.returncode == 0, answer.stderr
    expected = load_file(tmp_path / "whole" / "last.safetensors")
    for number, (inside, call) in enumerate([("save_file", 3), ("replace", 0)]):  # scripts/fault_check.py has all places
        folder = tmp_path / f"killed{number}"
        answer = command(inside, call, *SMALL, f"run_dir={folder}")
        assert answer.returncode == -signal.SIGKILL, answer.stderr
        answer = command("nowhere", 0, f"resume={folder}", f"runtime.workers={number % 2}")
        assert answer.returncode == 0, answer.stderr
        assert same(load_file(folder / "last.safetensors"), expected)


def test_a_run_is_not_resumed_with_other_settings(data, whole, tmp_path):
    folder, _ = whole("par", "shared")
    shutil.copytree(folder, tmp_path / "run")
    recipe = make_recipe("par", seed=1, loader=LoaderSettings(batch_size=4))
    with pytest.raises(SoliError, match=r"loader\.batch_size was 8, is 4; seed was 0, is 1"):
        run(recipe, tmp_path / "run", make_model(data.tokenizer), data, resume=True)
    with pytest.raises(SoliError, match=r"dataset was captions \w+, is captions \w+"):
        run(make_recipe("par"), tmp_path / "run", make_model(data.tokenizer), data.first(19), resume=True)
    assert (tmp_path / "run" / "last.safetensors").read_bytes() == (folder / "last.safetensors").read_bytes()


def test_a_run_killed_between_the_lines_of_its_checkpoints_step_and_the_next_save_logs_nothing_twice(data, whole, tmp_path, monkeypatch):
    """Stopped at an epoch's last step, its checkpoint knows neither the epoch's line nor the validation's, which have the same step."""
    folder, expected = whole("baseline", "shared")
    with monkeypatch.context() as patches:
        stop_at(patches, 3, signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt, match="after step 3"):
            run(make_recipe("baseline"), tmp_path / "run", make_model(data.tokenizer), data)

    def killed(_run):
        raise RuntimeError("killed")

    with monkeypatch.context() as patches:
        patches.setattr(loop.Run, "save", killed)
        with pytest.raises(RuntimeError, match="killed"):
            run(make_recipe("baseline"), tmp_path / "run", make_model(data.tokenizer), data, resume=True)
    assert len(logged(tmp_path / "run", "validation")) == 1
    assert same(run(make_recipe("baseline"), tmp_path / "run", make_model(data.tokenizer), data, resume=True), expected)
    assert logged(tmp_path / "run") == logged(folder)
