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
from soli.jobs.compared_runs import groups_of
from soli.jobs.scored_runs import shuffle
from soli.training.checkpoint import STATE
from soli.training.damage import checksum
from tests.test_commands import failed, files, interrupt_second_batch, run, trained  # noqa: F401 - fixtures

QUICK = ["metrics=[BLEU,ROUGE-L,CIDEr]", "conditions=[original,R0.1S50]", "report=false", "cost=false"]


@pytest.fixture
def runs(trained, tmp_path):  # noqa: F811
    """Two seeds of a variant, and one that has forgotten half of its decoder."""
    for name in ("good_s0", "good_s1", "bad"):
        shutil.copytree(trained, tmp_path / name, ignore=shutil.ignore_patterns("evaluation"))
    path = tmp_path / "bad" / "best.safetensors"
    weights = load_file(path)
    with safe_open(path, "pt") as file:
        state = json.loads(file.metadata()[STATE])
    weights["model.decoder.output.weight"] = torch.zeros_like(weights["model.decoder.output.weight"])
    save_file(weights, path, {STATE: json.dumps({**state, "checksum": checksum(weights)})})
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
    assert answer.out.splitlines()[-1] in [
        f"Next: python -m soli.caption run={folder} images=<photographs>  # the highest CIDEr on average" for folder in runs
    ]
    comparison = json.loads((tmp_path / "comparison" / "test" / "good_vs_bad" / "comparison.json").read_text())
    good, bad = comparison["variants"]["good"], comparison["variants"]["bad"]
    for condition in ("original", "R0.1S50"):
        spread, single = good["scores"][condition]["CIDEr"], bad["scores"][condition]["CIDEr"]
        assert spread["std"] == 0 and spread["number"] == 2 and single["std"] is None
        difference = bad["differences"][condition]["CIDEr"]
        assert difference["value"] == pytest.approx(single["mean"] - spread["mean"])
        assert difference["low"] <= difference["value"] <= difference["high"]
    assert {"comparison.csv", "comparison.md", "comparison.tex"} <= {
        path.name for path in (tmp_path / "comparison" / "test" / "good_vs_bad").iterdir()
    }

    before = files(runs[0])
    answer = run("evaluate", listed, *QUICK)
    assert answer.out.count("is there already") == 2 and files(runs[0]) == before
    assert "ifference" not in answer.out  # there is one variant
    comparison = json.loads((tmp_path / "comparison" / "test" / "good" / "comparison.json").read_text())
    assert list(comparison["variants"]) == ["good"] and len(comparison["variants"]["good"]["runs"]) == 2
    shutil.copy(runs[2] / "best.safetensors", runs[1] / "best.safetensors")
    assert run("evaluate", listed, *QUICK).out.count(": evaluating") == 1  # other weights
    (tmp_path / "comparison" / "test").rename(tmp_path / "elsewhere")
    for folder in (tmp_path / "elsewhere").glob("good_s0_*"):  # captions that are not those of metrics.json
        (folder / "captions.jsonl").write_text((folder / "captions.jsonl").read_text() + "\n")
    assert run("evaluate", listed, *QUICK, f"output={tmp_path / 'elsewhere'}").out.count(": evaluating") == 1


def test_an_interrupted_evaluation_goes_on(trained, run, tmp_path, monkeypatch):  # noqa: F811
    options = [f"run={trained}", *QUICK, "generation.batch_size=2", f"output={tmp_path}"]
    assert run("evaluate", *options).code == 0
    whole = {name: (tmp_path / name).read_bytes() for name in ("metrics.json", "captions.jsonl")}
    (tmp_path / "metrics.json").unlink()

    calls = interrupt_second_batch(monkeypatch)
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
        ([], "Neither run nor runs"),
        (["run={0}", "runs=[{0},{1}]"], "Both run and runs"),
        (["runs=[{0}]"], "two at least"),
        (["runs={{a:[],b:[{0},{1}]}}"], "a has no run"),
        (["run={0}", "runtime.precision=fp16"], "fp16 is for training"),
        (["runs=[{0},{0}]"], "more than once"),
        (["runs=[{0},nowhere]"], "nowhere is not a run folder"),
        (["runs=[{0},{1}]", "metrics=standart"], "did you mean standard"),
        (["run={0}", "metrics=[charBLEU,CIDEr]"], "stands alone"),
        (["run={0}", "compare=papers"], "compare"),
        (["run={0}", "conditions=[R0.1S50]", "compare=paper", "report=false", "cost=false", "metrics=[CIDEr]"], "original"),
        (["run={0}", "conditions=[R0.001S1]"], "R0.001S1"),
        (["run={0}", "gallery=many"], "gallery"),
        (["run={0}", "gallery=-1"], "gallery=-1 must be at least 0"),
    ],
)
def test_mistakes_get_a_sentence(runs, run, overrides, culprit):  # noqa: F811
    assert culprit in failed(run("evaluate", *(override.format(*runs) for override in overrides)))


def test_a_run_without_the_checkpoint_is_named(runs, run):  # noqa: F811
    (runs[0] / "best.safetensors").unlink()
    message = failed(run("evaluate", f"run={runs[0]}", *QUICK))
    assert "best.safetensors" in message and "checkpoint=last" in message


def test_runs_of_different_photographs_are_not_compared(runs, run):  # noqa: F811
    config = runs[1] / "config.yaml"
    before = config.read_text()
    for old, new, what in (
        ("num_test: 6", "num_test: 5", "images:6 against images:5"),
        ("R0.05S1\n", "R0.04S1\n", "conditions"),
        ("num_beams: 3", "num_beams: 2", "beam2"),
    ):
        config.write_text(before.replace(old, new))
        message = failed(run("evaluate", f"runs=[{runs[0]},{runs[1]}]", QUICK[0], *QUICK[2:]))
        assert "do not compare" in message and what in message
    assert not (runs[0].parent / "comparison").exists()  # nothing was begun


def test_an_evaluation_in_the_runs_own_folder_is_taken_and_left_alone(runs, run):  # noqa: F811
    assert run("evaluate", f"run={runs[0]}", *QUICK).code == 0
    before = files(runs[0])
    answer = run("evaluate", f"runs={{good:[{runs[0]}],bad:[{runs[2]}]}}", *QUICK[:3], "cost=true")
    assert answer.code == 0, answer.err
    assert answer.out.count("is there already") == 1 and files(runs[0]) == before
    (row,) = [line for line in answer.out.splitlines() if line.startswith("good ")]
    assert "-" not in row.split()[4:7]  # its cost was measured now


def test_metrics_that_cannot_be_had_are_named_before_the_work(runs, run, monkeypatch, tmp_path):  # noqa: F811
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "There would be no score: METEOR" in failed(run("evaluate", f"runs=[{runs[0]},{runs[2]}]", "metrics=[METEOR]", *QUICK[1:]))


def test_groups_of_a_list_keep_every_run():
    same, other = {"seed": 0, "epochs": 1}, {"seed": 1, "epochs": 2}
    named = {"x/baseline": same, "y/baseline": other, "z/par": {"epochs": 3}}
    assert groups_of(list(named), named) == {"baseline": ["x/baseline"], "y/baseline": ["y/baseline"], "par": ["z/par"]}
    numbered = {"p/0": same, "p/1": {**same, "seed": 5}, "q/0": other, "q/1": other}
    assert groups_of(list(numbered), numbered) == {"0": ["p/0", "p/1"], "q/0": ["q/0", "q/1"]}
    seeds = {"r/par_s0": same, "r/par_s1": {**same, "seed": 1}, "r/aug-seed0": other}
    assert groups_of(list(seeds), seeds) == {"par": ["r/par_s0", "r/par_s1"], "aug-seed0": ["r/aug-seed0"]}


def test_a_photograph_alone_is_compared_with_nothing(trained, run, tmp_path):  # noqa: F811
    answer = run("evaluate", f"run={trained}", *QUICK, "dataset.limit=1", f"output={tmp_path}")
    assert answer.code == 0, answer.err
    found = json.loads((tmp_path / "metrics.json").read_text())
    assert found["permuted"] == {} and found["embeddings"]["ratio"] is None and "permuted" not in answer.out
