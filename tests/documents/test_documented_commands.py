"""Every command that README.md and the other documents show runs, with small files in place of <placeholders>, and made small."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import soli
from tests.documents.calls import Call, jobs_of, read_call
from tests.documents.parsing import REPOSITORY, Passage, all_commands, commands_of, printed_tables
from tests.documents.running import SMALL_SCRIPTS, TRAIN, Workplace

# Scripts that are not run here, and where they are. Of these only the options are looked at, in their --help, and overrides of soli.train.
RUN_ELSEWHERE = {
    "scripts/fault_check.py": "twelve minutes; tests/test_fault_check.py does some of its faults",
    "scripts/gpu_check/check.py": "nine minutes of a GPU; tests/test_gpu_check.py runs its sections at toy size",
    "scripts/hard_negatives.py": "many trainings, each as soli.train does it; tests/bad_input makes its mistakes",
    "scripts/long_run_check.py": "six minutes; tests/test_long_run_check.py watches shorter trainings",
}
PREPARING = "scripts/prepare_data.py"  # test_documented_downloads.py runs it on archives
BENCHMARKS = "scripts/benchmark/"  # minutes; tests/test_benchmarks.py runs all of them at tiny sizes
BEHIND = {"scripts/gpu_check.sh": "scripts/gpu_check/check.py"}  # what takes the options of a shell script
COMMANDS = all_commands()


def way(command: Passage) -> str:
    """How a command is run here. Raises ValueError for one that nothing here can run."""
    call = read_call(command.text)
    if call.kind != "script":
        return call.kind
    if call.name == PREPARING:
        return "elsewhere"
    if call.name in SMALL_SCRIPTS and call.arguments:
        return "script"
    if call.name in {*SMALL_SCRIPTS, *RUN_ELSEWHERE, *BEHIND} or call.name.startswith(BENCHMARKS):
        return "options"
    raise ValueError(f"{command}: no test knows a way to run {call.name}. Add one to tests/documents.")


def those(*kinds: str) -> list:
    """The commands that are run in these ways, as parameters of a test."""
    found = []
    for command in COMMANDS:
        with contextlib.suppress(ValueError):  # the first test tells
            found += [pytest.param(command.text, id=str(command))] if way(command) in kinds else []
    return found


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    return Workplace(tmp_path_factory.mktemp("workplace"), [command.text for command in COMMANDS])


def test_there_is_a_way_to_run_every_line() -> None:
    assert len(COMMANDS) > 30
    for command in COMMANDS:
        way(command)


@pytest.mark.parametrize("text", those("soli", "code", "script", "torchrun"))
def test_a_command_runs(workplace: Workplace, text: str) -> None:
    answer = workplace.run(text)
    assert answer.code == 0, answer.said


@pytest.mark.parametrize("text", those("torchrun"))
def test_torchrun_knows_its_options(text: str) -> None:
    """Tests of training run it with two processes."""
    from torch.distributed.run import get_args_parser

    call = read_call(text)
    assert get_args_parser().parse_args(list(call.options)).training_script == "soli.train"


@pytest.mark.parametrize("text", those("options"))
def test_a_script_that_is_run_elsewhere_has_the_options(workplace: Workplace, text: str) -> None:
    call = read_call(text)
    assert (REPOSITORY / call.name).is_file()
    options = {argument.partition("=")[0] for argument in call.arguments if argument.startswith("--")}
    answer = workplace.ask(BEHIND.get(call.name, call.name))
    assert answer.code == 0 and options <= set(re.findall(r"(?<![\w-])--[\w-]+", answer.said)), answer.said
    soli.compose(call.overrides)


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize("text", those("make"))
def test_make_has_the_target_and_the_files_that_it_runs(text: str, tmp_path: Path) -> None:
    """tests/test_makefile.py runs the targets with an interpreter that only writes down what it is asked."""
    call = read_call(text)
    targets = re.search(r"^\.PHONY: (.*)$", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)[1].split()
    assert [argument for argument in call.arguments if "=" not in argument and argument not in targets] == []  # a folder is a target too
    planned = make(call, tmp_path)
    assert [name for name in re.findall(r"scripts/\S+\.py", planned) if not (REPOSITORY / name).is_file()] == []


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize("text", TRAIN)
def test_make_train_runs(workplace: Workplace, text: str, tmp_path: Path) -> None:
    planned = make(read_call("make train"), tmp_path).replace(f"{tmp_path}/bin/", "").splitlines()
    assert [line for line in planned if line.startswith("python")] == TRAIN
    answer = workplace.run(text)
    assert answer.code == 0, answer.said


def make(call: Call, environment: Path) -> str:
    """What make would do, in an environment that is there already."""
    (environment / "soli-installed").touch()
    command = ["make", "--dry-run", *call.arguments, f"ENVIRONMENT={environment}"]
    answer = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def test_the_tables_of_make_train_are_those_that_it_prints(workplace: Workplace) -> None:
    printed = [read_table(workplace.run(text).said) for text in TRAIN if "soli.evaluate" in text]
    shown = [read_table(block.text) for block in printed_tables() if " 96x96 " in block.text]  # the size of drawn pictures
    assert shown and len(printed) == 2
    assert [table for table in [*printed, *shown] if table != printed[0]] == []


def read_table(text: str) -> tuple[list[str], list[str]]:
    """The columns and the conditions of a printed table."""
    table = re.search(r"^(condition .*)\n-+ .*\n((?:\S.*\n)+?)original, permuted", text, flags=re.MULTILINE)
    return table[1].split(), [line.split()[0] for line in table[2].splitlines()]


DOCUMENT = """
```bash
make train   # minutes
python -m soli.train experiment=toy \\
    seed=1
```

    condition

```
condition  pixels
```

Then `python scripts/fault_check.py` or `scripts/gpu_check.sh --cpu`, not `soli-train`, nor `seed=1`; `python -m
soli.caption run=<run>`.

```
git clone https://example.org
```
```console
$ ls
```
"""


def test_commands_are_found_in_blocks_and_between_backticks() -> None:
    found = [(command.line, command.text) for command in commands_of("some.md", DOCUMENT)]
    assert found == [
        (3, "make train   # minutes"),
        (5, "python -m soli.train experiment=toy seed=1"),
        (18, "git clone https://example.org"),
        (21, "$ ls"),
        (14, "python scripts/fault_check.py"),
        (14, "scripts/gpu_check.sh --cpu"),
        (14, "python -m soli.caption run=<run>"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "git clone https://example.org",
        "python -m soli.trian seed=1",
        "python scripts/reproduced.py scale=toy",
        "python -m soli.train dataset.root=<photographs of a kind>",
        "python -m soli.train run_dir=/somewhere/else",
        "",
    ],
)
def test_a_line_that_no_test_can_run_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="no test"):
        way(Passage("some.md", 1, text))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("python -m soli.train experiment=toy optimzer.lr=1", "optimizer.lr"),
        ("python -m soli.train experiment=toi", "toy"),
        ("python -m soli.train --multirun variant=baseline,pra", "par"),
        ("python -m soli.evaluate run=runs/toy metrics=[CIDR]", "CIDEr"),
        ("python -m soli.caption run=runs/toy images=no.jpg", "no.jpg"),
        ("python scripts/reproduce.py scale=toy --tabels main", "--tabels"),
    ],
)
def test_a_mistake_in_a_document_is_found(workplace: Workplace, text: str, said: str) -> None:
    answer = workplace.run(text)
    assert answer.code != 0 and said in answer.said


def test_documents_may_make_the_same_folder_in_two_ways(workplace: Workplace) -> None:
    for seed in (1, 2):
        assert workplace.run(f"python -m soli.train runtime=smoke seed={seed} run_dir=runs/twice").code == 0


def test_the_jobs_of_a_sweep_are_told_from_lists() -> None:
    assert jobs_of(["seed=1,2", "conditions=[a,b]", "variant=x,y"], makes_several=True)[1:3] == [
        ["seed=1", "conditions=[a,b]", "variant=y"],
        ["seed=2", "conditions=[a,b]", "variant=x"],
    ]
    assert jobs_of(["sweep=seeds", "variant=x"], makes_several=True) == [[f"seed={seed}", "variant=x"] for seed in range(3)]
    assert jobs_of(["variant=x,y"], makes_several=False) == [["variant=x,y"]]
