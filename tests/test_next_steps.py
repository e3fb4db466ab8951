"""What a command prints last: the command that may come next."""

from __future__ import annotations

import shlex
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from omegaconf import OmegaConf

from soli.configuration import compose
from soli.configuration.command_text import setting
from soli.jobs.announcing import announce_steps
from soli.jobs.next_steps import say_after_comparison, say_after_evaluation, say_next
from soli.training.settings import LoaderSettings, Phase, Recipe, RuntimeSettings

CAPTIONS, MATCHING = "variant=baseline", "variant=matching"


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The config of a run; the runs of an earlier one that still has its folder are `start` and `matched`."""
    made = {choice: OmegaConf.to_container(compose([choice]), resolve=True) for choice in (CAPTIONS, MATCHING)}
    monkeypatch.chdir(tmp_path)
    for name, choice in (("start", CAPTIONS), ("matched", MATCHING)):
        (tmp_path / name).mkdir()
        OmegaConf.save(OmegaConf.create(made[choice]), tmp_path / name / "config.yaml")
        (tmp_path / name / "vocabulary.json").write_text("[]")
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "config.yaml").write_text("{")
    (tmp_path / "damaged" / "vocabulary.json").write_text("[]")
    return lambda choice, start=None: {**made[choice], "init_from": start}


def test_an_evaluated_run_is_seen_beside_its_start_or_used(config, capsys) -> None:
    for choice, start, line in (
        (CAPTIONS, None, "python -m soli.caption run=runs/a images=<photographs>"),
        (CAPTIONS, "start", "python -m soli.evaluate runs=[start,runs/a]  # beside the run from which it started"),
        (CAPTIONS, "gone", "python -m soli.caption run=runs/a images=<photographs>"),
        (CAPTIONS, "damaged", "python -m soli.caption run=runs/a images=<photographs>"),
        (CAPTIONS, "matched", "python -m soli.caption run=runs/a images=<photographs>"),
        (MATCHING, None, "soli.load('runs/a').match(photographs, captions), in Python"),
        (MATCHING, "matched", "soli.load('runs/a').match(photographs, captions), in Python"),
    ):
        say_after_evaluation(Path("runs/a"), config(choice, start))
        assert capsys.readouterr().out == f"Next: {line}\n", (choice, start)


def test_after_a_comparison_the_run_with_the_best_mean_is_used(config, capsys) -> None:
    def scored(name: str, *scores: float) -> SimpleNamespace:
        results = {"headline": "CIDEr", "rows": [{"condition": str(place), "CIDEr": score} for place, score in enumerate(scores)]}
        return SimpleNamespace(plan=SimpleNamespace(folder=Path(name), trained=config(CAPTIONS)), results=results)

    say_after_comparison({"one": [scored("a", 0.9, 0.1), scored("b", 0.5, 0.6)], "two": [scored("c", 0.6, 0.4)]})
    assert capsys.readouterr().out == "Next: python -m soli.caption run=b images=<photographs>  # the highest CIDEr on average\n"


def test_names_with_spaces_are_quoted_for_the_shell_and_for_hydra(capsys) -> None:
    say_next("evaluate", setting("runs", "my run", "it's"))
    command = capsys.readouterr().out.removeprefix("Next: ")
    assert compose(shlex.split(command)[3:], "evaluate").runs == ["my run", "it's"]


@pytest.mark.parametrize(
    ("runtime", "processes", "done", "lines"),
    [
        ({}, 1, 0, ["Steps: 21 of up to 8 photographs, 3 an epoch", "Device: cpu, fp32, 1 thread", "Run folder: runs/a"]),
        (
            {"max_steps": 9, "precision": "bf16", "workers": 2},
            2,
            4,
            [
                "Steps: 21 of up to 8 photographs, 3 an epoch, ending after 9 (runtime.max_steps); 4 are done",
                "Device: cpu, bf16, 1 thread in each of 2 processes, 2 decoding photographs",
                "Run folder: runs/a",
            ],
        ),
    ],
)
def test_a_training_says_how_many_steps_there_are_and_where(runtime, processes, done, lines, capsys, monkeypatch) -> None:
    monkeypatch.setattr("torch.get_num_threads", lambda: 1)
    phase = Phase(epochs=3, train={"encoder": 1.0}, losses={"caption": 1.0}, views={"clean": ["original"]})
    phases = {"one": phase, "two": Phase(4, phase.train, phase.losses, phase.views)}
    recipe = Recipe(phases=phases, loader=LoaderSettings(batch_size=8), runtime=RuntimeSettings(**runtime))
    announce_steps(recipe, 20, Path("runs/a"), torch.device("cpu"), processes, done)
    assert capsys.readouterr().out.splitlines() == lines
