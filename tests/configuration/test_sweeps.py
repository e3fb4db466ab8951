"""Sweeps: several jobs from one command, with and without --multirun, and how they end."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from soli.configuration import compose
from soli.configuration.folder import config_folder
from soli.configuration.jobs import job_number
from soli.jobs.run_folder import run_folder
from tests.configuration.test_console import Console, console  # noqa: F401 - a fixture


def test_a_sweep_makes_its_jobs_with_and_without_multirun(console: Console) -> None:  # noqa: F811
    numbers: list[int | None] = []
    code, _, err = console("sweep=seeds", "epochs=3", name="train", action=lambda config: numbers.append(job_number()))
    assert (code, err, numbers) == (0, "", [0, 1, 2]) and [config.seed for config in console.configs] == [0, 1, 2]
    assert console.configs[1] == compose(["epochs=3", "seed=1"])
    assert console("--multirun", "sweep=seeds", "seed=4", name="train")[0] == 0 and console.configs[3:] == [compose(["seed=4"])]


def test_the_variants_are_those_of_the_paper_and_a_seed_of_all_comes_before_the_next() -> None:
    params = OmegaConf.load(config_folder() / "sweep" / "variants.yaml").hydra.sweeper.params
    assert list(params.items()) == [("seed", "0,1,2"), ("variant", "baseline,aug,half,par,con")]  # the last key varies first


def test_values_of_the_command_line_win_and_join(console: Console) -> None:  # noqa: F811
    assert console("hydra.mode=MULTIRUN", "sweep=seeds", "seed=7", "epochs=2,4", name="train")[0] == 0
    assert [(config.seed, config.epochs) for config in console.configs] == [(7, 2), (7, 4)]


def test_a_job_alone_is_no_job_of_a_sweep(console: Console) -> None:  # noqa: F811
    numbers: list[int | None] = []
    for arguments in ([], ["sweep=null"], ["hydra.mode=RUN", "sweep=seeds"]):
        assert console(*arguments, name="train", action=lambda config: numbers.append(job_number()))[0] == 0
    assert numbers == [None] * 3


def test_a_sweep_of_ones_own_may_set_keys_too(console: Console, tmp_path_factory, monkeypatch) -> None:  # noqa: F811
    configs = tmp_path_factory.mktemp("mine") / "configs"
    shutil.copytree(config_folder(), configs)
    text = "# @package _global_\ndefaults:\n  - override /encoder: resnet18\nepochs: 3\nhydra:\n  sweeper:\n    params:\n      seed: 8,9\n"
    (configs / "sweep" / "mine.yaml").write_text(text, encoding="utf-8")
    monkeypatch.setattr("soli.configuration.loading.config_folder", lambda: configs)
    assert console("sweep=mine", name="train")[0] == 0
    assert [(config.encoder.name, config.epochs, config.seed) for config in console.configs] == [("resnet18", 3, 8), ("resnet18", 3, 9)]
    (configs / "sweep" / "mine.yaml").write_text(text.replace("seed:", "sed:"), encoding="utf-8")
    code, _, err = console("sweep=mine", name="train")
    assert code == 1 and err.startswith("error: sed=8: there is no group or key sed (did you mean seed?)")


def test_mistakes_are_found_before_the_first_job(console: Console) -> None:  # noqa: F811
    for arguments, message in (
        (["sweep=seeds", "seed=0", "variant=baseline,paar"], "variant=paar: variant has no choice paar (did you mean par?)"),
        (["sweep=seeds", "seed=0", "decoder=att_lstm_glove"], "decoder.glove must be given"),
        (["seed=1", "--jobs", "2"], "--jobs 2 is for several jobs: add --multirun"),
        (["sweep=seeds", "--jobs", "0"], "--jobs 0 must be at least 1"),
        (["sweep=seeds", "-j2", "hydra/launcher=basic"], "--jobs 2 and hydra/launcher=basic are two ways to start jobs"),
    ):
        code, out, err = console(*arguments, name="train")
        assert (code, out) == (1, "") and err.startswith(f"error: {message}") and err.count("\n") == 1, err
    assert console.jobs == []


def test_the_config_of_a_sweep_is_that_of_its_first_job(console: Console) -> None:  # noqa: F811
    code, out, err = console("--cfg", "job", "sweep=seeds", "variant=par", "seed=4,5", name="train")
    assert code == 0 and err == "The config of the first of 2 jobs, seed=4:\n"
    assert OmegaConf.create(out) == compose(["variant=par", "seed=4"])


def test_a_fault_in_one_job_leaves_the_others_running(console: Console) -> None:  # noqa: F811
    def fail_on_second(config: DictConfig) -> None:
        if config.seed == 1:
            raise RuntimeError("out of memory\nwith details")

    code, _, err = console("sweep=seeds", "epochs=2", name="train", action=fail_on_second)
    assert code == 1 and [config.seed for config in console.configs] == [0, 1, 2]
    assert "Traceback" in err and err.splitlines()[-1] == "error: job 2 (seed=1) failed: RuntimeError: out of memory"


def test_a_default_name_says_variant_and_seed(console: Console) -> None:  # noqa: F811
    names: list[str] = []
    long = f"dataset.root={'x' * 200}"
    for given in (["variant=baseline,par", "seed=3"], ["variant=aug", "seed=3,4", "epochs=2"], ["sweep=seeds", "seed=5", long]):
        console("-m", *given, name="train", action=lambda config: names.append(run_folder(config).name))
    start = "toy_tiny_tiny_lstm"
    assert names[:4] == [*(f"{start}_{name}_seed-3" for name in ("baseline", "par")), *(f"{start}_aug_epochs-2_seed-{n}" for n in (3, 4))]
    assert re.fullmatch(f"{start}_baseline_dataset.root-x+-[0-9a-f]{{8}}_seed-5", names[4])


@pytest.mark.parametrize("name", ["evaluate", "caption", "export"])
def test_other_commands_have_no_group_of_sweeps(name: str, console: Console) -> None:  # noqa: F811
    assert "there is no key sweep" in console("sweep=seeds", "run=a", name=name)[2]


def test_every_sweep_says_that_it_is_one() -> None:
    """So that Hydra's own tools take it for one too."""
    files = sorted((Path(__file__).parents[2] / "configs" / "sweep").glob("*.yaml"))
    assert files
    for file in files:
        hydra = OmegaConf.to_container(OmegaConf.load(file))["hydra"]
        assert hydra["mode"] == "MULTIRUN" and hydra["sweeper"]["params"], file
