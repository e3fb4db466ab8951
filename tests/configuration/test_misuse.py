"""Arguments that are no overrides: the answer holds the command that was meant, and that command is one."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from soli.configuration import compose
from soli.configuration.arguments import parse
from soli.configuration.loading import CheckedLoader, hydra_version
from soli.configuration.misuse import check_arguments
from soli.interfaces import SoliError


@pytest.fixture(scope="module")
def groups() -> dict[str, list[str]]:
    with hydra_version():
        loader = CheckedLoader()
        return {group: loader.choices(group) for group in loader.groups("train")}


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with a run, a folder of photographs and two photographs."""
    for folder in ("runs/a", "photographs"):
        (tmp_path / folder).mkdir(parents=True)
    for file in ("runs/a/config.yaml", "a.jpg", "my b.jpg", "photographs/c.jpg"):
        (tmp_path / file).touch()
    monkeypatch.chdir(tmp_path)


def refused(line: str, groups: dict[str, list[str]]) -> str:
    name, *arguments = shlex.split(line)
    with pytest.raises(SoliError) as caught:
        check_arguments(name, arguments, groups if name == "train" else {})
        parse(arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


MEANT = [
    ("train toy", "toy is a choice of dataset and of degradation and of experiment", "dataset=toy"),
    ("train resnt18", "did you mean resnet18?", "encoder=resnet18"),
    ("train sed 1", "sed is not an override", "seed=1"),
    ("train --learning-rate 1e-3", "There is no option --learning-rate", "optimizer.lr=1e-3"),
    ("train --gpu variant=par", "There is no option --gpu", "runtime=gpu variant=par"),
    ("train encoder resnet18 seed=3", "encoder is not an override", "encoder=resnet18 seed=3"),
    ("train seed 1", "seed is not an override", "seed=1"),
    ("train --seed 1", "There is no option --seed", "seed=1"),
    ("train --seed=1 variant=par", "There is no option --seed", "seed=1 variant=par"),
    ("train --lr -0.1", "There is no option --lr", "optimizer.lr=-0.1"),
    ("train --batch-size 16 --epochs 3", "There is no option --batch-size", "loader.batch_size=16 epochs=3"),
    ("train lr = 0.1", "lr has a space before its =", "optimizer.lr=0.1"),
    ("train seed= 1", "seed= goes on after a space", "seed=1"),
    ("train runs/a", "runs/a is not an override", "resume=runs/a"),
    ("train --resume runs/a", "There is no option --resume", "resume=runs/a"),
    ("train --multrun seed=1,2", "did you mean --multirun?", "--multirun seed=1,2"),
    ("train seed=1 --dry-run", "There is no option --dry-run", "seed=1 dry_run=true"),
    ("train dry_run", "dry_run is not an override", "dry_run=true"),
    ("train --multirun=true seed=1,2", "--multirun takes no value", "--multirun seed=1,2"),
    ("train --lr", "There is no option --lr", "optimizer.lr=<lr>"),
    ("train seeds", "seeds is a choice of sweep", "sweep=seeds"),
    ("train sweep=seeds --jbos 2", "did you mean --jobs?", "sweep=seeds --jobs 2"),
    ("train sweep=seeds --jobs", "--jobs wants a whole number", "sweep=seeds --jobs 2"),
    ("train sweep=seeds --jobs=many", "--jobs wants a whole number", "sweep=seeds --jobs 2"),
    ("train --hlep", "did you mean --help?", "--help"),
    ("train --cfg", "--cfg wants one of job, hydra, all", "--cfg job"),
    ("train --cfg=jbo seed=1", "did you mean job?", "--cfg job seed=1"),
    ("evaluate runs/a", "runs/a is not an override", "run=runs/a"),
    ("evaluate runs/a --split val", "runs/a is not an override", "run=runs/a split=val"),
    ("evaluate runs/a runs/b report=false", "runs/a is not an override", "runs=[runs/a,runs/b] report=false"),
    ("evaluate run=runs/a --conditions original R0.1S50", "no option --conditions", "run=runs/a conditions=[original,R0.1S50]"),
    ("evaluate run=runs/a conditions=[original, R0.1S50]", "goes on after a space", "run=runs/a conditions=[original,R0.1S50]"),
    ("caption a.jpg", "a.jpg is not an override", "images=a.jpg run=<run>"),
    ("caption runs/a", "runs/a is not an override", "run=runs/a images=<images>"),
    ("caption photographs run=runs/a", "photographs is not an override", "images=photographs run=runs/a"),
    ("caption runs/b a.jpg", "runs/b is not an override", "run=runs/b images=a.jpg"),
    ("caption runs/a a.jpg 'my b.jpg'", "runs/a is not an override", "run=runs/a \"images=[a.jpg,'my b.jpg']\""),
    ("export runs/a new", "runs/a is not an override", "run=runs/a to=new"),
    ("export new run=runs/a", "new is not an override", "to=new run=runs/a"),
]


@pytest.mark.parametrize(("line", "problem", "meant"), MEANT)
def test_the_answer_is_the_command_that_was_meant(line: str, problem: str, meant: str, groups: dict[str, list[str]]) -> None:
    message, name = refused(line, groups), line.partition(" ")[0]
    assert problem in message
    command = message[message.index("python -m soli.") :]
    assert command == f"python -m soli.{name} {meant}"
    given = shlex.split(command)[3:]
    check_arguments(name, given, groups)  # the right command is taken
    if name != "train" and "<" not in command:
        compose(parse(given).overrides, name)


def test_names_with_quotes_come_through_the_shell_and_hydra(groups: dict[str, list[str]]) -> None:
    message = refused('caption --run runs/a --images "it\'s a.jpg" "b $c.jpg"', groups)
    assert compose(shlex.split(message[message.index("python -m") :])[3:], "caption").images == ["it's a.jpg", "b $c.jpg"]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("train zzzz", "zzzz is not an override. Write key=value"),
        ("train --qq", "There is no option --qq. The options are --multirun, --jobs, --cfg, --resolve, --help."),
        ("train -mx", "The options are --multirun"),
        ("evaluate run=a conditions=[original, R0.1S50", "conditions=[original,: a bracket is not closed"),
        ("evaluate run=runs/a R0.1S50", "R0.1S50 is not an override"),
        ("export runs/a x y", "x is not an override"),
        (
            "evaluate runs=b:[x runs=y] runs=c:[d runs=e]",
            "runs=b:[x: a bracket is not closed",
        ),
    ],
)
def test_what_means_nothing_is_named(line: str, problem: str, groups: dict[str, list[str]]) -> None:
    assert problem in refused(line, groups)


@pytest.mark.parametrize(
    "line",
    [
        "train --multirun seed=1,2 encoder=tiny,resnet18",
        "train -m seed=range(1,3) hydra/launcher=basic",
        "train -c job --resolve",
        "train sweep=seeds --jobs 2",
        "train sweep=seeds -j 2 variant=baseline,par",
        "train sweep=seeds --jobs=2",
        "train toy --help",
        "train ~encoder",
        "evaluate runs={a:[b],c:[d]}",
        "caption run=a images=[]",
        """train "dataset.root='my [data'" seed=-1""",
        """train "dataset.root='it\\\\'s {mine'" seed=-1""",
    ],
)
def test_what_is_right_is_left_alone(line: str, groups: dict[str, list[str]]) -> None:
    name, *arguments = shlex.split(line)
    check_arguments(name, arguments, groups)
    parse(arguments)
