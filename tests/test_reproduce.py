"""scripts/reproduce.py: what it trains, that it goes on from what is there, and that its tables say what the comparisons do."""

import csv
import importlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import soli
from soli.interfaces import SoliError
from tests.test_commands import SMALL, run  # noqa: F401 - a fixture

SCRIPTS = Path(__file__).parents[1] / "scripts"
GLOVE = {
    "toy": [],
    "cpu": ["resnet_att_lstm:decoder.glove=glove.txt", "encoder.weights=weights"],
    "gpu": ["resnet_att_lstm:decoder.glove=null"],
}
ROWS = ["baseline", "aug", "par"]
TINY = [override for override in SMALL if not override.startswith(("variant", "degradation"))]


@pytest.fixture
def scripts(monkeypatch):
    """The script and its plan, which lie outside the package."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    before = set(sys.modules)
    yield importlib.import_module("reproduce"), importlib.import_module("reproduction.plan")
    for name in set(sys.modules) - before:
        if name.split(".")[0] in ("reproduce", "reproduction", "soli_commands"):
            del sys.modules[name]


@pytest.fixture
def reproduce(scripts, run, monkeypatch):  # noqa: F811
    """Runs the script with the commands of soli in this process. Returns those that it ran; `said` has what they printed."""
    script, _ = scripts
    commands = []

    def run_command(command, *overrides, log=None):
        commands.append((command, *overrides))
        quick = ["metrics=[BLEU,CIDEr]", *(["cost=false"] if "cost=false" not in overrides else [])] if command == "evaluate" else []
        if "runtime.threads=1" not in overrides:
            quick.append("runtime.threads=1")
        answer = run(command, *overrides, *quick)
        assert answer.code == 0, answer.err
        call.said.append(answer.out)

    monkeypatch.setattr(script, "run_command", run_command)
    monkeypatch.setattr(sys.modules["soli_commands"], "run_command", run_command)
    side_by_side = sys.modules["soli_commands"]._side_by_side
    monkeypatch.setattr(sys.modules["soli_commands"], "_side_by_side", lambda calls, jobs, told: side_by_side(calls, 1, told))

    def call(*arguments):
        commands.clear()
        call.said = []
        monkeypatch.setattr(sys, "argv", ["reproduce.py", *map(str, arguments)])
        script.main()
        return list(commands)

    return call


def test_a_table_from_nothing_and_then_again_without_training(reproduce, scripts, monkeypatch, tmp_path):
    """Of three rows, to spare time."""
    _, plan = scripts
    read = plan._read
    monkeypatch.setattr(plan, "_read", lambda path: {**(found := read(path)), **({"tables": {"main": ROWS}} if "tables" in found else {})})
    arguments = ["scale=toy", *TINY, "att_lstm:epochs=2", "--pairs", "att_lstm", "--seeds", "0", "--out", tmp_path]
    commands = reproduce(*arguments)
    assert [command for command, *_ in commands] == ["train"] * 4 + ["evaluate"] * 3
    start, *rows = [overrides for command, *overrides in commands if command == "train"]
    assert "experiment=toy" in start and not any(override.startswith("init_from") for override in start)
    assert all(f"init_from={tmp_path / 'att_lstm' / 'start_0'}" in overrides for overrides in rows)

    table = tmp_path / "results" / "att_lstm_main.md"
    first = {path.name: path.read_bytes() for path in table.parent.iterdir()}
    comparison = json.loads(next(tmp_path.glob("att_lstm/comparison/test/baseline_*/comparison.json")).read_text())
    assert list(comparison["variants"]) == ROWS
    text = table.read_text()
    for about in comparison["variants"].values():
        assert f"{about['scores']['original']['CIDEr']['mean']:.3f}" in text
        assert f"{about['scores']['mean of degraded']['BLEU-4']['mean']:.3f}" in text
    assert "R0.15S1" in text and "difference from aug" in text and "SOLI: ViT + GPT, par" in text and "charBLEU-4" in text
    rows = list(csv.DictReader(table.with_suffix(".csv").open()))
    par = [row for row in rows if (row["variant"], row["condition"], row["score"]) == ("par", "R0.1S50", "CIDEr")]
    assert {row["against"] for row in par} == {"baseline", "aug"}
    assert all(float(row["mean"]) == comparison["variants"]["par"]["scores"]["R0.1S50"]["CIDEr"]["mean"] for row in par)

    with pytest.raises(SoliError, match=r"start_0 was begun without optimizer.lr=0.5: give another --out"):
        reproduce(*arguments, "optimizer.lr=0.5")
    again = reproduce(*arguments)
    assert [command for command, *_ in again] == ["evaluate"] * 3
    assert {path.name: path.read_bytes() for path in table.parent.iterdir()} == first

    side_by_side = [*arguments, "--jobs", "2"]
    assert [command for command, *_ in reproduce(*side_by_side)] == ["evaluate"] * 3  # the comparisons' own evaluations are found
    for folder in ("comparison", "unseen"):
        shutil.rmtree(tmp_path / "att_lstm" / folder)
    commands = reproduce(*side_by_side)
    assert ["runs=" in overrides[0] for _, *overrides in commands] == [False] * 6 + [True] * 3
    assert all(overrides[-1] == "runtime.threads=1" for _, *overrides in commands[:6])
    assert sum(said.count("its evaluation is there already") for said in reproduce.said) == 3 + 2 + 3  # by all comparisons
    assert {path.name: path.read_bytes() for path in table.parent.iterdir()} == first


def test_runs_of_several_seeds_whose_names_have_dots(scripts, monkeypatch, tmp_path):
    commands, logs = sys.modules["soli_commands"], []

    def run_command(command, *overrides, log):
        logs.append(log)
        (log.parent / log.name.removesuffix(".log")).mkdir()
        (log.parent / log.name.removesuffix(".log") / "config.yaml").touch()

    monkeypatch.setattr(commands, "run_command", run_command)
    names = ["par_0.3_0.7_0", "par_0.3_0.7_1", "par_0.3_0"]
    commands.train_many([(tmp_path / name, [f"run={name}"]) for name in names], 1)
    assert [log.name for log in logs] == [f"{name}.log" for name in names]
    for name in names:
        commands.check_begun(tmp_path / name, [f"run={name}"])
        with pytest.raises(SoliError, match=f"{name} was begun with"):
            commands.check_begun(tmp_path / name, [])


@pytest.mark.parametrize(
    ("scale", "tables", "pairs", "number"),
    [
        ("toy", ["main", "weights", "augmentation", "margin"], ["att_lstm"], 1 + 13),
        ("cpu", ["main"], None, 2 * (1 + 5)),
        ("gpu", ["main"], None, 2 * (1 + 5)),
    ],
)
def test_every_training_is_one_that_soli_would_begin(scripts, scale, tables, pairs, number, tmp_path):
    _, plan = scripts
    trainings = plan.Plan.of(scale, tmp_path, tables, pairs, seeds=[3], given=GLOVE[scale]).trainings()
    for training in trainings:
        config = soli.compose([*training.overrides, f"run_dir={training.folder}"])
        assert config.seed == 3 and config.init_from == (None if training.start is None else str(training.start))
    folders = [training.folder for training in trainings]
    assert len(set(folders)) == len(folders) == number


def test_overrides_of_a_pair_and_of_its_start(scripts, tmp_path):
    _, plan = scripts
    given = ["dataset.root=here", "resnet_att_lstm:encoder.weights=w", "vit_gpt2:encoder.weights=v"]
    trainings = plan.Plan.of("cpu", tmp_path, seeds=[0], given=given).trainings()
    weights = {
        training.folder.relative_to(tmp_path).as_posix(): [each for each in training.overrides if each.startswith("encoder.weights=")]
        for training in trainings
    }
    assert weights["resnet_att_lstm/start_0"] == ["encoder.weights=w"] and weights["resnet_att_lstm/par_0"] == []
    assert weights["vit_gpt2/start_0"] == weights["vit_gpt2/par_0"] == ["encoder.weights=v"]
    assert all("dataset.root=here" in training.overrides for training in trainings)


def test_overrides_of_what_rows_start_from_and_of_rows(scripts, tmp_path):
    _, plan = scripts
    given = ["rows:epochs=7", "start:epochs=4", "gpt2:rows:generation.num_beams=2", "start:generation.num_beams=5", "att_lstm:start:seed=9"]
    made = plan.Plan.of("toy", tmp_path, ["main"], seeds=[0], given=given)
    given_to = {training.folder.relative_to(tmp_path).as_posix(): training.overrides for training in made.trainings()}
    for name, overrides in given_to.items():
        is_start = "start" in name
        assert ("epochs=4" in overrides) == is_start and ("epochs=7" in overrides) != is_start
        assert ("generation.num_beams=5" in overrides) == is_start
        assert ("generation.num_beams=2" in overrides) == (name.startswith("gpt2/") and not is_start)
        assert ("seed=9" in overrides) == (name == "att_lstm/start_0")
    assert [made.evaluated(pair) for pair in made.pairs] == [[], ["generation.num_beams=2"]]


def test_rows_take_what_only_their_start_has_where_it_is_said(scripts, tmp_path):
    _, plan = scripts
    given = ["decoder.glove=g", "rows:encoder.weights=w"]
    start, row, *_ = plan.Plan.of("cpu", tmp_path, pairs=["resnet_att_lstm"], seeds=[0], given=given).trainings()
    assert "decoder.glove=g" in start.overrides and "encoder.weights=w" not in start.overrides
    assert "decoder.glove=g" not in row.overrides and "encoder.weights=w" in row.overrides


@pytest.mark.parametrize(("text", "told"), [("so far\n", "see the end of a.log."), ("error: this one\n", "see a.log: this one")])
def test_a_failure_is_told_by_its_own_lines(scripts, monkeypatch, tmp_path, text, told):
    commands, log = sys.modules["soli_commands"], Path("a.log")
    monkeypatch.chdir(tmp_path)
    log.write_text("error: an earlier one\n")

    def dies(line, stdout, **_):
        stdout.write(text)
        stdout.flush()
        return subprocess.CompletedProcess(line, 1)

    monkeypatch.setattr(commands.subprocess, "run", dies)
    with pytest.raises(SoliError) as raised:
        commands.run_command("train", log=log)
    assert str(raised.value) == f"soli.train failed, {told}"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Give one scale, scale=cpu or scale=gpu or scale=toy"),
        (["scale=gpus"], "did you mean gpu"),
        (["scale=toy", "lstm:epochs=1"], "prefix of an override: lstm is unknown"),
        (["scale=toy", "gpt2:row:epochs=1"], "prefix of an override: row is unknown"),
        (["scale=toy", "--tables", "weight"], "did you mean weights"),
        (["scale=toy", "--seeds", "0", "0"], "each once"),
        (["scale=toy", "--jobs", "0"], "--jobs 0 must be at least 1"),
        (["scale=toy", "optimzer.lr=1", "--dry-run"], "optimizer"),
        (["scale=toy", "epochs=1", "--seeds", "0"], "epochs=1 is too few for con_0"),
        (
            ["scale=cpu", "decoder.glove=null", "--pairs", "vit_gpt2"],
            "That is of vit_gpt2, whose own keys are given as vit_gpt2:<key>=<value>",
        ),
        (
            ["scale=cpu", "dataset.root=nowhere", "encoder.weights=a", "--pairs", "vit_gpt2", "--dry-run"],
            "dataset.root=nowhere, of vit_gpt2, does not",
        ),
        (["scale=toy", "dry_run=true", "--seeds", "0"], "dry_run=true is for soli.train alone"),
    ],
)
def test_mistakes_are_found_before_anything_is_trained(reproduce, arguments, message, tmp_path):
    with pytest.raises(SoliError, match=message):
        reproduce(*arguments, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_training_that_fails_ends_the_script_with_a_sentence(tmp_path):
    command = [sys.executable, SCRIPTS / "reproduce.py", "scale=toy", "optimizer.lr=-1", "--out", tmp_path, "--seeds", "0"]
    answer = subprocess.run(command, capture_output=True, text=True)
    log = tmp_path / "att_lstm" / "start_0.log"
    assert answer.returncode == 1 and answer.stderr.startswith(f"error: soli.train failed, see {log}: optimizer.lr=-1")
    assert "optimizer.lr=-1" in log.read_text()
