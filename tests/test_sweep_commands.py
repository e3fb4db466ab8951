"""Several trainings from one command: the table in the end and the comparison that it proposes, failures, and going on after Ctrl-C."""

from __future__ import annotations

import os
import re
import shlex
import signal
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from soli.configuration import compose
from soli.configuration.jobs import Job, Outcome
from soli.jobs.swept_runs import SweptRun, after, best_score, compared
from soli.training.logging import MetricsLog
from tests.test_commands import SMALL, Answer, failed, files, run  # noqa: F401 - fixtures

BASE = [override for override in SMALL if not override.startswith("variant.")] + ["validation.limit=4"]
NAMED = "run_dir=${hydra:runtime.choices.variant}_${seed}"


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def table(out: str) -> list[list[str]]:
    """The rows of the table in the end, without its head."""
    lines = out.splitlines()
    last = max(place for place, line in enumerate(lines) if line.startswith("---"))
    return [line.split() for line in lines[last + 1 :] if not re.match(r"Next: |Without ", line)]


def stop_second(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Ctrl-C when the second run logs this step."""
    write, reached = MetricsLog.write, []

    def interrupted(self: MetricsLog, at: int, **figures: object) -> None:
        write(self, at, **figures)
        if at == step and figures["kind"] == "train":
            reached.append(at)
            if len(reached) == 2:
                os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(MetricsLog, "write", interrupted)


def test_the_command_in_the_end_compares_the_variants(run, tmp_path):  # noqa: F811
    answer = run("train", "sweep=seeds", "seed=0,1", "variant=baseline,par", *BASE, NAMED, "runtime=smoke", "epochs=2")
    assert answer.code == 0, answer.err
    rows = table(answer.out)
    assert [row[:3] for row in rows] == [[f"{name}_{seed}", str(seed), name] for seed in (0, 1) for name in ("baseline", "par")]
    for folder, *_, score, state in rows:
        assert state == "trained" and score == f"{best_score(tmp_path / folder / 'metrics.jsonl', 'CIDEr'):.3f}"
    proposed = answer.out.splitlines()[-1]
    assert proposed == 'Next: python -m soli.evaluate "runs={baseline:[baseline_0,baseline_1],par:[par_0,par_1]}"'
    written = (tmp_path / "par_1" / "config.yaml").read_text()
    assert "hydra" not in written and "sweep" not in written
    found = run("evaluate", *shlex.split(proposed)[4:], "metrics=[CIDEr]", "conditions=[original]", "cost=false", "report=false")
    assert found.code == 0 and (tmp_path / "comparison" / "test" / "baseline_vs_par" / "comparison.json").is_file(), found.err


def test_a_sweep_that_was_interrupted_goes_on(run, tmp_path, monkeypatch):  # noqa: F811
    settings = [*BASE, "epochs=2", "logging.every_steps=1"]
    given = ["sweep=seeds", *settings, NAMED]
    with monkeypatch.context() as patch:
        stop_second(patch, step=4)
        answer = run("train", *given)
    assert answer.code == 130 and "Traceback" not in answer.err
    assert "Stopped by SIGINT after step 4; continue with python -m soli.train resume=baseline_1" in answer.err
    assert answer.err.endswith("baseline_1, or with all jobs by the same command.\n")
    assert [row[-1] for row in table(answer.out)] == ["trained", "stopped", "begun"]  # not begun
    again = answer.out.splitlines()[-1].partition("  #")[0]
    assert shlex.split(again)[1:] == ["python", "-m", "soli.train", *given]

    before = files(tmp_path / "baseline_0")
    answer = run("train", *shlex.split(again)[4:])
    assert answer.code == 0 and files(tmp_path / "baseline_0") == before, answer.err
    assert "The run baseline_0 is finished: there is nothing left to do." in answer.out
    assert "The run baseline_1 was begun before: it goes on after step 4." in answer.out
    assert [row[-1] for row in table(answer.out)] == ["trained"] * 3
    assert answer.out.splitlines()[-1] == "Next: python -m soli.evaluate runs=[baseline_0,baseline_1,baseline_2]"
    run("train", *settings, "seed=1", "run_dir=alone")
    assert (tmp_path / "alone" / "best.safetensors").read_bytes() == (tmp_path / "baseline_1" / "best.safetensors").read_bytes()

    message = failed(run("train", *given, "optimizer.lr=0.1", "optimizer.warmup_steps=2"))
    assert (
        "Of job 1 (seed=0): baseline_0 holds a run with other settings: optimizer.lr was 0.001, is 0.1; optimizer.warmup_steps" in message
    )
    assert "already holds a run" in failed(run("train", *settings, "run_dir=alone"))  # a command of one run says what it always has
    answer = run("train", "resume=alone")
    assert answer.out.startswith("The run alone is finished: there is nothing to resume.\nNext: python -m soli.evaluate run=alone")
    monkeypatch.setenv("RANK", "1")  # the second process of torchrun
    assert run("train", "resume=alone") == Answer(0, "", "")


def test_a_dry_run_of_a_sweep_goes_through_all_its_jobs(run, tmp_path):  # noqa: F811
    given = ["sweep=seeds", *BASE, "epochs=1", NAMED]
    answer = run("train", *given, "dry_run=true")
    assert answer.code == 0 and not list(tmp_path.iterdir()), answer.err
    assert answer.out.count("Phase caption") == 3
    proposed = answer.out.splitlines()[-1]
    assert shlex.split(proposed)[4:] == given
    assert run("train", *given, "seed=1,2", "runtime.max_steps=2").code == 0
    before = [files(tmp_path / name) for name in ("baseline_1", "baseline_2")]
    answer = run("train", *given, "dry_run=true")
    assert answer.code == 0 and answer.out.count("it goes on after step 2") == 2, answer.err
    assert [files(tmp_path / name) for name in ("baseline_1", "baseline_2")] == before and not (tmp_path / "baseline_0").exists()

    answer = run("train", "--multirun", "siamese.decay=0.5,2", *BASE, "dry_run=true")
    assert "siamese.decay=2" in failed(answer) and "Next" not in answer.out
    beside = run("train", *given, "dry_run=true", "seed=3,4", "--jobs", "2")
    assert beside.code == 0 and beside.out.count("Phase caption") == 2 and not (tmp_path / "runs").exists(), beside.err


def test_a_run_that_fails_leaves_the_others_and_is_named(run, tmp_path):  # noqa: F811
    given = ["--multirun", "optimizer.lr=1e30,0.01,0.02", *BASE, "run_dir=lr_${optimizer.lr}", "epochs=1"]
    answer = run("train", *given)
    assert answer.code == 1 and "Traceback" not in answer.err
    last = answer.err.splitlines()[-1]
    assert last.startswith("error: job 1 (optimizer.lr=1e+30) failed: The loss is nan at step 2"), last
    assert [(row[0], row[-1]) for row in table(answer.out)] == [("lr_1e+30", "failed"), ("lr_0.01", "trained"), ("lr_0.02", "trained")]
    *_, others, again = answer.out.splitlines()
    assert others.startswith("Without those that failed: python -m soli.evaluate ") and "lr-0.01:[lr_0.01],lr-0.02:[lr_0.02]" in others
    assert again.startswith("Next: python -m soli.train --multirun optimizer.lr=1e30,0.01,0.02 ")


def test_two_at_a_time_end_as_one_by_one(run, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    repository = str(Path(__file__).parents[1])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([repository, os.environ.get("PYTHONPATH", "")]))
    given = [*BASE, "runtime=smoke"]
    answer = run("train", *given, "sweep=seeds", "seed=0,1", "run_dir='side/a_${seed}'", "--jobs", "2")
    assert answer.code == 0, answer.err
    assert [row[0] for row in table(answer.out)] == ["side/a_0", "side/a_1"]
    assert answer.out.splitlines()[-1] == "Next: python -m soli.evaluate runs=[side/a_0,side/a_1]"
    run("train", *given, "seed=1", "run_dir=alone")
    assert (tmp_path / "alone" / "best.safetensors").read_bytes() == (tmp_path / "side" / "a_1" / "best.safetensors").read_bytes()
    (log,) = tmp_path.glob("runs/sweeps/*/job2.log")
    assert "Run folder: side/a_1" in log.read_text() and "Next: " not in log.read_text()


def test_what_cannot_end_well_is_refused_before_the_first_run(run, tmp_path):  # noqa: F811
    for given, culprits in (
        (
            ["sweep=variants", "seed=0", "variant=par,half"],
            ["Of job 2 (variant=half): No phase has a caption loss", "init_from=<run>", "No job was begun."],
        ),
        (["sweep=seeds", "seed=0", "variant=con", "epochs=1"], ["epochs=1 leaves 1 for the phases", "No job was begun."]),
        (["sweep=seeds", "seed=0,1", "run_dir=same"], ["same would be the folder of 2 runs (seed=0; seed=1)", "${seed}"]),
        (["--multirun", "seed=3,3"], ["would be the folder of 2 runs"]),
    ):
        message = failed(run("train", *BASE, *given))
        assert all(culprit in message for culprit in culprits) and message.count("\n") == 1, message
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_something_else_is_refused_before_the_first_run(run, tmp_path):  # noqa: F811
    (tmp_path / "a_1").mkdir()
    (tmp_path / "a_1" / "letter.pdf").touch()
    message = failed(run("train", *BASE, "sweep=seeds", "run_dir=a_${seed}"))
    assert "Of job 2 (seed=1): run_dir=a_1 is no run folder, and not empty: it holds letter.pdf." in message
    assert [path.name for path in tmp_path.iterdir()] == ["a_1"]


def made(folder: str, metric: str = "CIDEr", **values: str) -> SweptRun:
    settings = {"dataset": values.get("dataset", "toy"), "degradation": {}, "generation": {}}
    return SweptRun(Path(folder), {key.replace("__", "."): value for key, value in values.items()}, "trained", settings, metric, 0.5)


@pytest.mark.parametrize(
    ("runs", "arguments", "folders"),
    [
        ([made("a")], ["run=a"], None),
        ([made("a", seed="0"), made("b", seed="1")], ["runs=[a,b]"], ["a", "b"]),
        ([made("a", seed="0"), made("my b", seed="1")], ["runs=[a,'my b']"], ["a", "my b"]),
        (
            [made(f"{lr}{seed}", seed=seed, variant="par", optimizer__lr=lr) for seed in "01" for lr in ("1e-3", "0.1")],
            ["runs={par_lr-1e-3:['1e-30','1e-31'],par_lr-0.1:['0.10','0.11']}"],
            {"par_lr-1e-3": ["1e-30", "1e-31"], "par_lr-0.1": ["0.10", "0.11"]},
        ),
        (
            [made("a", validation__conditions="[original,R0.1S1]"), made("b", validation__conditions="[R0.5S1]")],
            ["runs={conditions--original-R0.1S1:[a],conditions--R0.5S1:[b]}"],
            {"conditions--original-R0.1S1": ["a"], "conditions--R0.5S1": ["b"]},
        ),
        (
            [made(folder, encoder__weights=file) for folder, file in (("a", "x y"), ("b", "x-y"), ("c", "x+y"), ("d", "x y"))],
            ["runs={weights-x-y:[a,d],weights-x-y-2:[b],weights-x-y-3:[c]}"],
            {"weights-x-y": ["a", "d"], "weights-x-y-2": ["b"], "weights-x-y-3": ["c"]},
        ),
        (
            [made("a", "rsum", variant="vse"), made("b", "rsum", variant="ace")],
            ["runs={vse:[a],ace:[b]}", "metrics=retrieval"],
            {"vse": ["a"], "ace": ["b"]},
        ),
        (
            [made("a", variant="par"), made("b", "rsum", variant="ace"), made("c", variant="aug")],
            ["runs={par:[a],aug:[c]}"],
            {"par": ["a"], "aug": ["c"]},
        ),
    ],
)
def test_runs_are_compared_by_what_differs_besides_the_seed(runs, arguments, folders) -> None:
    assert compared(runs) == arguments
    assert compose(arguments, "evaluate").runs == folders


def test_runs_whose_scores_do_not_compare_are_evaluated_one_by_one() -> None:
    assert compared([made("a", dataset="toy"), made("my b", dataset="coco")]) == ["--multirun", "run=a,'my b'"]


def test_the_best_score_is_that_of_the_last_phase(tmp_path: Path) -> None:
    log = tmp_path / "metrics.jsonl"
    assert best_score(log, "CIDEr") is None
    lines = ['{"kind": "validation", "phase": "one", "CIDEr": 9}', '{"kind": "train", "loss": 1}']
    lines += [f'{{"kind": "validation", "phase": "two", "CIDEr": {score}}}' for score in (0.5, 0.75, 0.25)]
    log.write_text("\n".join(lines))
    assert best_score(log, "CIDEr") == 0.75 and best_score(log, "rsum") is None
    log.write_text("\n".join([*lines, '{"kind": "vali']))
    assert best_score(log, "CIDEr") is None


def test_under_torchrun_one_process_tells_of_the_runs(monkeypatch, capsys) -> None:
    monkeypatch.setenv("RANK", "1")
    after([Job(0, [], OmegaConf.create({}), "")], {0: Outcome()}, [])
    assert capsys.readouterr().out == ""
