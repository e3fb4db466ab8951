"""soli.evaluate metrics=retrieval as a user types it: its files, comparisons of runs, interruption, and what it refuses."""

from __future__ import annotations

import csv
import json
import shutil

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

import soli
from soli.configuration import compose
from soli.datasets import ToyDataset
from soli.evaluation import rank_metrics
from soli.jobs.captioned_runs import has_learnt_captions
from soli.runs import build_captioner, build_tokenizer, write_run
from soli.training.checkpoint import Progress, save_checkpoint
from tests.test_commands import SMALL, failed, files, interrupt_second_batch, run  # noqa: F401 - a fixture

RETRIEVE = ["metrics=retrieval", "conditions=[original,R0.1S50]"]
SMALL_MATCHER = ["text_encoder.word_dim=12", "text_encoder.hidden_dim=16", "joint.dim=16"]
MATCHING, CAPTIONING = {"matching": 1.0}, {"caption": 1.0}


def make_run(folder, seed=0, losses=MATCHING, **changes):
    """A run folder as training leaves it, with random weights. Returns it."""
    config = OmegaConf.to_container(compose([*SMALL, *SMALL_MATCHER, "dataset.num_test=12"]), resolve=True) | {"seed": seed, **changes}
    config["variant"]["phases"]["caption"]["losses"] = losses
    tokenizer = build_tokenizer(config, [caption for example in ToyDataset(num_train=24).examples("train") for caption in example.captions])
    torch.manual_seed(seed)
    model = build_captioner(config, tokenizer)
    write_run(folder, config, tokenizer, {})
    save_checkpoint(folder / "best.safetensors", model, Progress())
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for name, seed in (("match_s0", 0), ("match_s1", 1), ("other", 2)):
        make_run(folder / name, seed)
    make_run(folder / "captions", losses=CAPTIONING)
    return folder


@pytest.fixture
def runs(made, tmp_path):
    shutil.copytree(made, tmp_path / "runs")
    return [tmp_path / "runs" / name for name in ("match_s0", "match_s1", "other", "captions")]


def results(folder):
    return json.loads((folder / "retrieval.json").read_text())


def test_the_ladder_of_a_run_with_its_files_and_its_protocol(runs, run):  # noqa: F811
    answer = run("evaluate", f"run={runs[0]}", "metrics=retrieval")
    assert answer.code == 0, answer.err
    assert answer.out.splitlines()[-1] == f"Next: soli.load({str(runs[0])!r}).match(photographs, captions), in Python"
    output = runs[0] / "evaluation" / "test"
    assert {path.name for path in output.iterdir()} == {"ranks.jsonl", *(f"retrieval.{end}" for end in ("json", "csv", "md", "tex"))}
    found = results(output)
    assert [row["condition"] for row in found["rows"]] == ["original", "R0.1S50", "R0.05S1", "R0.05S50"]
    original, degraded, *_ = found["rows"]
    assert original["drop"] == 0 and degraded["drop"] == pytest.approx(1 - degraded["rsum"] / original["rsum"])
    assert degraded["pixels"] == "9x9" and degraded["signature"] == f"{found['protocol']}|condition:R0.1S50"
    for fact in ("retrieval|", "data:toy", "split:test", "images:12", "captions:60", "folds:1x12", "precision:fp32", "torch:", "soli:"):
        assert fact in found["protocol"]
    table = list(csv.DictReader((output / "retrieval.csv").open()))
    scores = [name for name in original if name.startswith(("i2t", "t2i", "rsum"))]
    assert len(scores) == 11 and all(float(table[1][name]) == degraded[name] for name in scores)
    assert all(name in answer.out and name in (output / "retrieval.md").read_text() for name in scores)
    assert "\\toprule" in (output / "retrieval.tex").read_text() and str(output) in answer.out


def test_the_scores_are_those_of_the_captioner_and_of_the_ranks_that_were_written(runs, run):  # noqa: F811
    assert run("evaluate", f"run={runs[0]}", *RETRIEVE).code == 0
    output, toy = runs[0] / "evaluation" / "test", ToyDataset(num_test=12)
    examples = toy.examples("test")
    captions, owner = [caption for example in examples for caption in example.captions], np.repeat(np.arange(12), 5)
    lines = [json.loads(line) for line in (output / "ranks.jsonl").open()]
    for row in results(output)["rows"]:
        similarity = soli.load(runs[0]).match([toy.read_image(example) for example in examples], captions, row["condition"])
        expected = rank_metrics(similarity, owner)
        assert {name: row[name] for name in expected} == pytest.approx(expected)
        ranks = [line["ranks"][row["condition"]] for line in lines]
        assert np.mean([of_one["i2t"] <= 5 for of_one in ranks]) == pytest.approx(row["i2t_R@5"])
        assert np.mean([of_one["t2i"] for of_one in ranks]) == pytest.approx(row["t2i_mean_rank"])


def test_folds_are_averaged_and_a_new_evaluation_says_what_it_replaces(runs, run):  # noqa: F811
    run("evaluate", f"run={runs[0]}", *RETRIEVE)
    whole = results(runs[0] / "evaluation" / "test")
    answer = run("evaluate", f"run={runs[0]}", *RETRIEVE, "fold_size=4")
    assert answer.code == 0 and "This replaces the evaluation" in answer.out and "folds:1x12" in answer.out
    found = results(runs[0] / "evaluation" / "test")
    assert "folds:3x4" in found["protocol"] and found["rows"][0]["t2i_R@5"] == 1 > whole["rows"][0]["t2i_R@5"]
    assert "This replaces" not in run("evaluate", f"run={runs[0]}", *RETRIEVE, "fold_size=4").out


def test_an_interrupted_evaluation_goes_on(runs, run, monkeypatch, tmp_path):  # noqa: F811
    options = [f"run={runs[0]}", *RETRIEVE, "generation.batch_size=4", f"output={tmp_path / 'here'}"]
    assert run("evaluate", *options).code == 0
    whole = files(tmp_path / "here")
    calls = interrupt_second_batch(monkeypatch)
    assert run("evaluate", *options).code == 130
    assert (tmp_path / "here" / "unfinished_retrieval.jsonl").exists()
    assert run("evaluate", *options).code == 0
    assert len(calls) == 3 and files(tmp_path / "here") == whole  # of three batches the last one was left


def test_runs_are_compared_by_variant_and_evaluated_once(runs, run):  # noqa: F811
    compared = f"runs={{match:[{runs[0]},{runs[1]}],other:[{runs[2]}]}}"
    assert run("evaluate", f"run={runs[0]}", *RETRIEVE, "fold_size=6").code == 0
    before = files(runs[0])
    answer = run("evaluate", compared, *RETRIEVE, "fold_size=6")
    assert answer.code == 0, answer.err
    assert answer.out.count(": evaluating") == 2 and answer.out.count("is there already") == 1 and files(runs[0]) == before
    output = runs[0].parent / "comparison" / "test" / "match_vs_other"
    assert {path.name for path in output.iterdir()} == {f"retrieval_comparison.{end}" for end in ("json", "csv", "md", "tex")}
    comparison = json.loads((output / "retrieval_comparison.json").read_text())
    match, other = comparison["variants"]["match"], comparison["variants"]["other"]
    (shared,) = output.parent.glob("match_s1_*")
    alone = [results(folder)["rows"][1] for folder in (runs[0] / "evaluation" / "test", shared)]
    for score in ("rsum", "i2t_R@1", "t2i_median_rank"):
        assert match["scores"]["R0.1S50"][score]["mean"] == pytest.approx(np.mean([row[score] for row in alone]))
        assert match["scores"]["R0.1S50"][score]["std"] == pytest.approx(np.std([row[score] for row in alone], ddof=1))
    difference = other["differences"]["original"]["rsum"]
    assert difference["value"] == pytest.approx(other["scores"]["original"]["rsum"]["mean"] - match["scores"]["original"]["rsum"]["mean"])
    assert difference["low"] <= difference["value"] <= difference["high"] and "paired bootstrap" in answer.out
    assert answer.out.splitlines()[-1].startswith("Next: soli.load(")

    again = run("evaluate", compared, *RETRIEVE, "fold_size=6")
    assert again.out.count("is there already") == 3
    assert json.loads((output / "retrieval_comparison.json").read_text()) == comparison
    (shared / "ranks.jsonl").write_text((shared / "ranks.jsonl").read_text() + "\n")  # not those of retrieval.json
    assert run("evaluate", compared, *RETRIEVE, "fold_size=6").out.count(": evaluating") == 1


@pytest.mark.parametrize(
    ("overrides", "culprit"),
    [
        (["run={0}", "metrics=retrieval", "compare=paper"], "compare=paper is about captions"),
        (["run={0}", "metrics=retrieval", "generation.num_beams=3"], "generation.num_beams=3: metrics=retrieval generates no captions"),
        (["run={0}", "metrics=retrieval", "fold_size=5"], "would leave out 2 of the 12 photographs"),
        (["run={0}", "metrics=retrieval", "fold_size=1000"], "more than the 12 photographs"),
        (["run={0}", "metrics=[retrieval,CIDEr]"], "it stands alone, as metrics=retrieval"),
        (["run={0}", "metrics=retrieve"], "did you mean retrieval"),
        (["run={0}", "fold_size=4"], "fold_size=4 is for metrics=retrieval"),
        (["run={0}", "metrics=[CIDEr]"], "has learnt no captions: give metrics=retrieval"),
        (["run={3}", "metrics=retrieval"], "was not trained to match photographs and captions"),
        (["runs=[{0},{3}]", "metrics=retrieval"], "captions was not trained to match"),
        (["runs=[{0},{1}]", "metrics=retrieval", "fold_size=7"], "would leave out 5"),
    ],
)
def test_mistakes_get_a_sentence(runs, run, overrides, culprit):  # noqa: F811
    assert culprit in failed(run("evaluate", *(override.format(*runs) for override in overrides)))
    assert not (runs[0] / "evaluation").exists() and not (runs[0].parent / "comparison").exists()


def test_broken_weights_are_named(runs, run, monkeypatch):  # noqa: F811
    monkeypatch.setattr("soli.matching.Matcher.images", lambda self, features: features.mean(1) * torch.nan)
    assert "the photographs at original are not finite" in failed(run("evaluate", f"run={runs[0]}", *RETRIEVE))


def test_which_runs_have_learnt_captions():
    def config(*losses, init_from=None, pretrained=None):
        phases = {str(number): {"losses": of_phase} for number, of_phase in enumerate(losses)}
        return {"variant": {"phases": phases}, "init_from": init_from, "model": {"pretrained": pretrained}}

    assert has_learnt_captions(config({"contrastive": 1.0}, CAPTIONING))
    assert not has_learnt_captions(config(MATCHING, {"caption": 0.0, "attention": None}))
    assert has_learnt_captions(config(MATCHING, init_from="runs/baseline")) and has_learnt_captions(config(MATCHING, pretrained="model"))
