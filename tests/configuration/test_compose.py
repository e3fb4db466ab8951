"""compose gives what is asked, finds configs wherever they lie, and leaves the Hydra of a notebook alone."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import hydra
import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

import soli
from soli.configuration import compose
from soli.interfaces import SoliError

REPOSITORY = Path(__file__).parents[2]
CONFIGS = REPOSITORY / "configs"


def refusal(overrides: list[str], config_name: str = "train") -> str:
    with pytest.raises(SoliError) as caught:
        compose(overrides, config_name)
    return str(caught.value)


def test_values_that_are_allowed_arrive_as_given() -> None:
    overrides = [
        "optimizer.lr=1",
        "optimizer.clip_norm=null",
        "run_dir='2024'",
        "++seed=3",
        "runtime={device:cuda,workers:4}",
        "experiment=null",
    ]
    config = compose([*overrides, "dataset.root=${run_dir}/photographs", "degradation.conditions=[original,'${run_dir}']"])
    assert (config.optimizer.lr, config.optimizer.clip_norm, config.run_dir, config.seed) == (1, None, "2024", 3)
    assert (config.runtime.device, config.runtime.workers, config.runtime.precision) == ("cuda", 4, "fp32")
    assert config.dataset.root == "2024/photographs" and config.degradation.conditions == ["original", "2024"]
    assert "hydra" not in config


def test_compose_wants_a_list() -> None:
    with pytest.raises(SoliError, match=r"compose\(\['seed=1'\]\)"):
        compose("seed=1")


def test_overrides_win_over_an_experiment() -> None:
    config = soli.compose(["experiment=toy", "encoder=resnet18", "optimizer.warmup_steps=7"])
    assert config.encoder.name == "resnet18" and config.optimizer.warmup_steps == 7
    assert config.vocabulary.min_count == OmegaConf.load(CONFIGS / "experiment/toy.yaml").vocabulary.min_count


def test_experiments_of_ones_own_are_found_and_checked(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    mine = tmp_path / "experiment" / "mine.yaml"
    overrides = [f"hydra.searchpath=[{tmp_path}]", "experiment=mine"]
    mine.write_text("# @package _global_\noptimizer:\n  lr: 0.5\n", encoding="utf-8")
    assert compose(overrides).optimizer.lr == 0.5
    mine.write_text("# @package _global_\noptimizer:\n  lerning_rate: 0.5\n", encoding="utf-8")
    assert "optimizer.lerning_rate=0.5: there is no key optimizer.lerning_rate (did you mean lr?)" in refusal(overrides)
    mine.write_text("# @package _global_\noptimizer: [\n", encoding="utf-8")
    assert str(mine) in refusal(overrides)


def test_compose_leaves_the_hydra_of_a_notebook_alone(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("a: 1\n", encoding="utf-8")
    version_before = hydra.version.getbase()
    with hydra.initialize_config_dir(str(tmp_path), version_base="1.2"):
        theirs, version = GlobalHydra.instance().hydra, hydra.version.getbase()
        compose(["seed=1"])
        refusal(["foo=1"])
        assert GlobalHydra.instance().hydra is theirs and hydra.version.getbase() == version
        assert hydra.compose("own").a == 1
    hydra.version.VersionBase.instance().version_base = version_before
    assert not HydraConfig.initialized()


def test_configs_inside_the_package_are_found_wherever_it_lies(tmp_path: Path) -> None:
    folder = tmp_path / "a folder, with blanks"
    shutil.copytree(REPOSITORY / "soli", folder / "soli", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(CONFIGS, folder / "soli" / "configs")  # as in a wheel
    program = "import soli; print(soli.compose(['run=a'], 'evaluate').split); print(soli.__file__)"
    answer = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True)
    assert answer.stdout.splitlines() == ["test", str(folder / "soli" / "__init__.py")], answer.stderr
