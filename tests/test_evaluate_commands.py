"""soli.evaluate as a user types it: several runs, presets, the paper's figures, the report, and what it refuses."""

from __future__ import annotations

import csv
import json
import shutil

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from soli.evaluation import CaptionScorer
from soli.scored_runs import shuffle
from tests.test_commands import failed, files, run, trained  # noqa: F401 - fixtures

QUICK = ["metrics=[BLEU,ROUGE-L,CIDEr]", "conditions=[original,R0.1S50]", "report=false", "cost=false"]


@pytest.fixture
def runs(trained, tmp_path):  # noqa: F811
    """Two seeds of a variant, and one that has forgotten half of its decoder."""
    for name in ("good_s0", "good_s1", "bad"):
        shutil.copytree(trained, tmp_path / name, ignore=shutil.ignore_patterns("evaluation"))
    path = tmp_path / "bad" / "best.safetensors"
    weights = load_file(path)
    with safe_open(path, "pt") as file:
        progress = file.metadata()
    weights["model.decoder.output.weight"] = torch.zeros_like(weights["model.decoder.output.weight"])
    save_file(weights, path, progress)
    return [tmp_path / name for name in ("good_s0", "good_s1", "bad")]


def results(folder):
    return json.loads((folder / "evaluation" / "test" / "metrics.json").read_text())


def test_every_number_carries_its_signature_and_belongs_to_the_captions(trained, run):  # noqa: F811
    answer = run("evaluate", f"run={trained}", "metrics=[BLEU,ROUGE-L,CIDEr]", "conditions=[original,R0.1S50,R0.05S1]", "gallery=3")
    assert answer.code == 0, answer.err
    found, folder = results(trained), trained / "evaluation" / "test"
    lines = [json.loads(line) for line in (folder / "captions.jsonl").open()]
    scorer = CaptionScorer([line["references"] for line in lines], ["BLEU", "ROUGE-L", "CIDEr"])
    for row in found["rows"]:
        expected = scorer.score([line["captions"][row["condition"]] for line in lines])
        assert {name: row[name] for name in expected} == pytest.approx(expected)
        assert row["signature"] == f"{found['protocol']}|condition:{row['condition']}"
    assert found["permuted"] == pytest.approx(scorer.score(shuffle([line["captions"]["original"] for line in lines])))
    for fact in ("level:word", "refs:5", "smooth:none", "gen:beam3", "split:test", "images:6", "checkpoint:best", "torch:", "soli:"):
        assert fact in found["protocol"]
    table = list(csv.DictReader((folder / "metrics.csv").open()))
    assert [row["signature"] for row in table[:3]] == [row["signature"] for row in found["rows"]]
    assert (folder / "metrics.md").read_text().startswith("| condition |") and "\\toprule" in (folder / "metrics.tex").read_text()
    assert (folder / "report.html").read_text().startswith("<!DOCTYPE html>") and not (folder / "unfinished.jsonl").exists()
    assert found["cost"]["parameters"] > 0 and found["cost"]["training_photographs"] == 48 and found["embeddings"]["matrix"]
    assert found["rows"][0]["drop"] == 0 and "over the logarithm of pixels" in answer.out


def test_the_preset_of_the_paper_cannot_be_mistaken(trained, run, tmp_path):  # noqa: F811
    answer = run("evaluate", f"run={trained}", "metrics=soli_paper", "conditions=[original]", f"output={tmp_path}", "report=false")
    assert answer.code == 0, answer.err
    found = json.loads((tmp_path / "metrics.json").read_text())
    assert "charBLEU-4" in found["rows"][0] and "BLEU-4" not in found["rows"][0]
    assert found["protocol"].startswith("charBLEU|level:char|") and "refs:1(first)" in found["protocol"]


def test_the_papers_figures_stand_beside_ours(trained, run, tmp_path):  # noqa: F811
    answer = run("evaluate", f"run={trained}", *QUICK, f"output={tmp_path}", "compare=paper")
    assert answer.code == 0, answer.err
    (ours,) = [line for line in answer.out.splitlines() if line.startswith("small ")]
    run("evaluate", f"run={trained}", "metrics=soli_paper", *QUICK[1:], f"output={tmp_path}")
    assert f"{json.loads((tmp_path / 'metrics.json').read_text())['rows'][0]['charBLEU-4']:.3f}" in ours
    assert "SOLI: ViT + GPT, par" in answer.out and "0.654" in answer.out and "standard" in answer.out


def test_runs_are_compared_by_variant_and_evaluated_once(runs, run, tmp_path):  # noqa: F811
    listed = f"runs=[{','.join(map(str, runs[:2]))}]"
    mapping = f"runs={{good:[{runs[0]},{runs[1]}],bad:[{runs[2]}]}}"
    answer = run("evaluate", mapping, *QUICK)
    assert answer.code == 0, answer.err
    assert answer.out.count(": evaluating") == 3
    comparison = json.loads((tmp_path / "comparison" / "test" / "comparison.json").read_text())
    good, bad = comparison["variants"]["good"], comparison["variants"]["bad"]
    for condition in ("original", "R0.1S50"):
        spread, single = good["scores"][condition]["CIDEr"], bad["scores"][condition]["CIDEr"]
        assert spread["std"] == 0 and spread["number"] == 2 and single["std"] is None
        difference = bad["differences"][condition]["CIDEr"]
        assert difference["value"] == pytest.approx(single["mean"] - spread["mean"])
        assert difference["low"] <= difference["value"] <= difference["high"]
    assert {"comparison.csv", "comparison.md", "comparison.tex"} <= {path.name for path in (tmp_path / "comparison" / "test").iterdir()}

    before = files(runs[0])
    answer = run("evaluate", listed, *QUICK)
    assert answer.out.count("is there already") == 2 and files(runs[0]) == before
    comparison = json.loads((tmp_path / "comparison" / "test" / "comparison.json").read_text())
    assert list(comparison["variants"]) == ["good"] and len(comparison["variants"]["good"]["runs"]) == 2
    shutil.copy(runs[2] / "best.safetensors", runs[1] / "best.safetensors")
    assert run("evaluate", listed, *QUICK).out.count(": evaluating") == 1  # other weights


def test_an_interrupted_evaluation_goes_on(trained, run, tmp_path, monkeypatch):  # noqa: F811
    options = [f"run={trained}", *QUICK, "generation.batch_size=2", f"output={tmp_path}"]
    assert run("evaluate", *options).code == 0
    whole = {name: (tmp_path / name).read_bytes() for name in ("metrics.json", "captions.jsonl")}
    (tmp_path / "metrics.json").unlink()

    from soli.evaluation.journal import Journal

    add, calls = Journal.add, []

    def interrupted(self, entry):
        add(self, entry)
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(Journal, "add", interrupted)
    assert run("evaluate", *options).code == 130
    assert (tmp_path / "unfinished.jsonl").exists() and (tmp_path / "captions.jsonl").read_bytes() == whole["captions.jsonl"]
    assert run("evaluate", *options).code == 0
    assert len(calls) == 3  # of three batches the last one was left
    assert (tmp_path / "captions.jsonl").read_bytes() == whole["captions.jsonl"]
    again = json.loads((tmp_path / "metrics.json").read_text())
    assert again["rows"] == json.loads(whole["metrics.json"])["rows"]


@pytest.mark.parametrize(
    ("overrides", "culprit"),
    [
        ([], "run=<folder>"),
        (["run={0}", "runs=[{0},{1}]"], "run=<folder>"),
        (["runs=[{0}]"], "two at least"),
        (["runs=[{0},{0}]"], "more than once"),
        (["runs=[{0},nowhere]"], "nowhere is not a run folder"),
        (["runs=[{0},{1}]", "metrics=standart"], "did you mean standard"),
        (["run={0}", "metrics=[charBLEU,CIDEr]"], "stands alone"),
        (["run={0}", "compare=papers"], "compare"),
        (["run={0}", "conditions=[R0.1S50]", "compare=paper", "report=false", "cost=false", "metrics=[CIDEr]"], "original"),
        (["run={0}", "conditions=[R0.001S1]"], "R0.001S1"),
        (["run={0}", "gallery=many"], "gallery"),
    ],
)
def test_mistakes_get_a_sentence(runs, run, overrides, culprit):  # noqa: F811
    assert culprit in failed(run("evaluate", *(override.format(*runs) for override in overrides)))


def test_a_run_without_the_checkpoint_is_named(runs, run):  # noqa: F811
    (runs[0] / "best.safetensors").unlink()
    message = failed(run("evaluate", f"run={runs[0]}", *QUICK))
    assert "best.safetensors" in message


def test_runs_of_different_photographs_are_not_compared(runs, run):  # noqa: F811
    config = runs[1] / "config.yaml"
    config.write_text(config.read_text().replace("num_test: 6", "num_test: 5"))
    assert "do not compare" in failed(run("evaluate", f"runs=[{runs[0]},{runs[1]}]", *QUICK))
