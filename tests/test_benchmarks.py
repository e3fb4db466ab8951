"""scripts/benchmark: at tiny sizes both ways give the same numbers, a peer that gives others is refused, and each works as it says."""

import importlib
import itertools
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from soli.datasets import FolderDataset

FOLDER = Path(__file__).parents[1] / "scripts" / "benchmark"
TINY_ENCODER = ("encoder=tiny", "encoder.input_size=32", "encoder.feature_dim=32")
TINY_GPT2 = ("decoder=tiny_gpt2", "decoder.architecture={n_embd: 32, n_layer: 1, n_head: 2, n_positions: 40}")
TINY_LSTM = ("decoder=tiny_lstm", "decoder.hidden_dim=16", "decoder.attention_dim=16", "decoder.embedding_dim=8")


@pytest.fixture
def script(monkeypatch):
    """Imports a file of the folder by its name, as its neighbours do when it is run; afterwards no test sees it."""
    monkeypatch.syspath_prepend(FOLDER)
    before = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if str(FOLDER) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.fixture
def small_lstm(script):
    return script("attention_lstm").contest(encoder_trains=True, num_images=3, num_places=5, feature_dim=12, num_words=30)


def sizes_seen(module, work):
    """The first dimension of what a module is given at each of its calls."""
    seen = []
    handle = module.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
    work()
    handle.remove()
    return seen


@pytest.mark.parametrize("encoder_trains", [False, True])
def test_the_published_attention_lstm_gives_the_same_step_and_projects_at_every_word(script, encoder_trains):
    contest = script("attention_lstm").contest(encoder_trains, num_images=4, num_places=5, feature_dim=12, num_words=30)
    figures = script("timing").measure_steps(contest, repeats=1)
    assert max(figures["differences"].values()) < 1e-5
    assert figures["images"] == 4 and figures["seconds"]["peer"]["cpu"]["median"] > 0
    assert sizes_seen(contest.model.key, contest.ours) == [4]
    projected = sizes_seen(contest.model.key, contest.peer)
    assert 13 <= len(projected) <= 21 and projected[0] == 4 and projected == sorted(projected, reverse=True)


def test_another_loss_and_other_gradients_are_refused(script, small_lstm):
    timing = script("timing")
    weight = small_lstm.model.query.weight
    for peer in (
        lambda: small_lstm.peer() * 1.01,
        lambda: small_lstm.peer() + 0.01 * (weight - weight.detach()).sum(),  # the same loss, another gradient of one weight
        lambda: small_lstm.peer() + 0.01 * (small_lstm.inputs[0] - small_lstm.inputs[0].detach()).sum(),
    ):
        with pytest.raises(AssertionError, match="encoder trains: the two ways differ"):
            timing.measure_steps(replace(small_lstm, peer=peer), repeats=1)


@pytest.mark.parametrize("decoder", [TINY_GPT2, TINY_LSTM], ids=["gpt2", "lstm"])
def test_a_siamese_step_encodes_both_views_at_once_and_its_peer_four_times(script, decoder):
    contest = script("siamese_step").contest("tiny", (*TINY_ENCODER, *decoder), num_pairs=3, num_captions=2, num_words=30)
    assert max(script("timing").measure_steps(contest, repeats=1)["differences"].values()) < 1e-5
    assert sizes_seen(contest.model.encoder, contest.ours) == [6]
    assert sizes_seen(contest.model.encoder, contest.peer) == [3, 3, 3, 3]


def test_five_captions_are_decoded_from_one_encoding_and_by_the_peer_from_five(script):
    contest = script("captions_per_image").contest("tiny", (*TINY_ENCODER, *TINY_GPT2), num_images=3, num_words=30)
    assert max(script("timing").measure_steps(contest, repeats=1)["differences"].values()) < 1e-5
    assert sizes_seen(contest.model.encoder, contest.ours) == [3]
    assert sizes_seen(contest.model.encoder, contest.peer) == [15]


def test_random_captions_are_words_between_start_and_end(script):
    captions = script("captioners").random_captions(20, 2, num_words=9, shortest=3, longest=5)
    lengths = set()
    for ids in captions.flatten(0, 1).tolist():
        end = ids.index(2)
        lengths.add(end - 1)
        assert ids[0] == 1 and all(4 <= word < 9 for word in ids[1:end]) and set(ids[end + 1 :]) <= {0}
    assert lengths == {3, 4, 5}


def test_drawn_photographs_are_a_folder_that_soli_reads(script, tmp_path):
    photographs = script("photographs")
    photographs.draw_photographs(tmp_path / "drawn", num_train=4)
    dataset = FolderDataset(str(tmp_path / "drawn"))
    examples = dataset.examples("train")
    assert len(examples) == 4 and all(len(example.captions) == 5 for example in examples)
    assert {dataset.read_image(example).shape for example in examples} == {(375, 500, 3), (333, 500, 3), (500, 375, 3)}
    with Image.open(examples[0].path) as file:
        assert file.format == "JPEG" and np.asarray(file).std() > 5
    assert photographs.data_overrides(Path("some/root"), tmp_path, 4) == ["dataset=flickr8k", "dataset.root='some/root'"]


@pytest.fixture
def small_training(script, tmp_path):
    data = script("photographs").data_overrides(None, tmp_path / "drawn", num_train=8)
    module = script("training_loop")
    return module, module.Training.of([*data, *TINY_ENCODER, *TINY_GPT2, *module.PAR, "loader.batch_size=2"])


def test_the_loop_is_timed_beside_bare_steps_with_the_same_loss_and_gradients(small_training):
    module, training = small_training
    for workers in (0, 1):
        figures = module.measure(training, workers, num_steps=2)
        assert max(figures["differences"].values()) < 1e-5
        parts = [figures["seconds_of_a_step"][part]["median"] for part in ("waiting", "rendering", "rest")]
        assert min(parts) >= 0
        assert f"{workers} workers" in module.table([figures])


def test_a_bare_step_that_is_not_the_loops_is_refused(small_training, monkeypatch):
    module, training = small_training
    honest = module.in_one_pass
    monkeypatch.setattr(module, "in_one_pass", lambda *arguments: 1.001 * honest(*arguments))
    with pytest.raises(AssertionError, match="the loop's first step and a bare one differ"):
        module.measure(training, workers=0, num_steps=1)


GREEDY = """
import os, pathlib, sys, time
first = bytearray(os.urandom(1)) * (100 << 20)
pathlib.Path(sys.argv[1]).touch()
time.sleep(0.3)
second = bytearray(os.urandom(1)) * (100 << 20)
del second
if os.fork() == 0:
    mine = bytearray(os.urandom(1)) * (150 << 20)
    time.sleep(0.5)
    os._exit(0)
os.wait()
"""


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="only Linux tells what a process holds")
def test_memory_sees_what_a_process_held_before_its_steps_its_peak_and_its_workers(script, tmp_path):
    mebibytes = 1 << 20
    with subprocess.Popen([sys.executable, "-c", GREEDY, str(tmp_path / "there")]) as process:
        seen = script("memory").watch(process, tmp_path / "there")
    assert 100 * mebibytes < seen["before steps"] < 150 * mebibytes
    assert 200 * mebibytes < seen["process"] < 250 * mebibytes
    assert 150 * mebibytes < seen["workers"] < 230 * mebibytes  # half of the 100 that it shares are its own


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="only Linux tells what a process holds")
def test_memory_takes_a_command_that_is_seen_once_for_no_worker(script, tmp_path, monkeypatch):
    memory, looks = script("memory"), itertools.cycle([[os.getpid()], []])
    monkeypatch.setattr(memory, "children", lambda _: next(looks))
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(0.5)"]) as process:
        assert memory.watch(process, tmp_path / "there")["workers"] == 0


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="only Linux tells what a process holds")
def test_memory_of_a_training(script, tmp_path):
    memory = script("memory")
    toy = ["dataset=toy", "dataset.num_train=4", "dataset.num_val=2", "dataset.num_test=2", "vocabulary.min_count=1"]
    figures = memory.measure("tiny", tmp_path / "run", [*toy, *TINY_ENCODER, *TINY_GPT2, "loader.batch_size=2", "runtime.max_steps=1"])
    assert (
        2**27 < figures["bytes"]["before steps"] <= figures["bytes"]["process"] <= figures["bytes"]["together"] < 2**31
    )  # git is asked for the commit
    assert "tiny" in memory.table([figures])
    with pytest.raises(RuntimeError, match="already holds a run"):
        memory.measure("tiny", tmp_path / "run", toy)


def test_startup_times_commands_and_stops_where_one_fails(script):
    startup = script("startup")
    figures = startup.measure({"help": startup.COMMANDS["soli.train --help"], "nothing": ("-c", "pass")}, repeats=1)
    seconds = [row["seconds"]["cpu"]["median"] for row in figures]
    assert min(seconds) > 0
    assert [line.split()[0] for line in startup.table(figures).splitlines()[1:]] == ["help", "nothing"]
    with pytest.raises(subprocess.CalledProcessError):
        startup.measure({"wrong": ("-c", "raise SystemExit(3)")}, repeats=1)


def test_generation_times_the_same_captions(script):
    generation = script("generation")
    contest = generation.attention_lstm(num_images=2, num_beams=2, num_words=30, max_tokens=4)
    assert generation.measure(contest, repeats=1)["images"] == 2
    with pytest.raises(AssertionError, match="1 of 2 captions differ"):
        generation.measure(replace(contest, peer=lambda: [*contest.ours()[:1], [-1]]), repeats=1)


def test_metrics_times_the_same_scores(script):
    metrics = script("metrics")
    ladder = metrics.drawn(num_photographs=8, num_conditions=2)
    contest = metrics.Contest(
        "small", lambda: metrics.by_soli(ladder, metrics.WITHOUT_METEOR), lambda: metrics.by_pycocoevalcap(ladder, metrics.by_tokenize)
    )
    assert metrics.measure(contest, repeats=1)["speedup"]["wall"] > 0
    with pytest.raises(AssertionError, match="small, condition 0: the scores differ"):
        metrics.measure(replace(contest, peer=lambda: [{name: 2.0 for name in scores} for scores in contest.ours()]), repeats=1)


def test_all_runs_every_file_that_can_be_run(script):
    names = {path.stem for path in script("all").benchmarks(FOLDER)}
    assert names == {path.stem for path in FOLDER.glob("*.py")} - {"all", "timing", "captioners", "photographs"}


@pytest.mark.parametrize("fails", [False, True])
def test_all_writes_figures_under_name_date_and_device_and_tells_what_failed(script, tmp_path, capsys, fails):
    benchmark = tmp_path / "small.py"
    lines = ["import sys, pathlib", "print('{}\\n\\nthe table')", "pathlib.Path(sys.argv[sys.argv.index('--output') + 1]).write_text('{}')"]
    benchmark.write_text("\n".join([*lines, "sys.exit('it broke')"] if fails else lines), encoding="utf-8")
    assert script("all").run(benchmark, ["--quick"]) is not fails
    (written,) = (tmp_path / "results").iterdir()
    name, date, device = written.stem.split("_")
    assert (name, device) == ("small", "cpu") and len(date.split("-")) == 3 and json.loads(written.read_text()) == {}
    assert ("it broke" if fails else "the table") in capsys.readouterr().out
