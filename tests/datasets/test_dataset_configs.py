"""Every yaml of configs/dataset names a class of soli.datasets and exactly its arguments."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

import pytest
from omegaconf import OmegaConf

FOLDER = Path(__file__).parents[2] / "configs" / "dataset"


def test_all_are_there() -> None:
    assert {path.stem for path in FOLDER.glob("*.yaml")} >= {"toy", "flickr8k", "flickr30k", "coco", "folder"}


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_keys_are_the_arguments(path: Path) -> None:
    config = OmegaConf.to_container(OmegaConf.load(path))
    module, _, name = config.pop("_target_").rpartition(".")
    parameters = inspect.signature(getattr(importlib.import_module(module), name)).parameters
    assert list(config) == list(parameters)
    assert {"root", "limit", "reference_side"} <= set(config)
    defaults = {key: parameter.default for key, parameter in parameters.items() if parameter.default is not inspect.Parameter.empty}
    assert {key: config[key] for key in defaults if key != "root"} == {key: value for key, value in defaults.items() if key != "root"}
