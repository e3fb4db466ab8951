"""Every yaml file composes, and holds exactly the keys that its code takes."""

from __future__ import annotations

import dataclasses
import inspect
import re
from pathlib import Path
from typing import get_type_hints

import pytest
from omegaconf import OmegaConf

from soli.configuration import compose
from soli.configuration.schema import SCHEMAS, GenerationChanges, Part
from soli.configuration.targets import find_target
from soli.interfaces import SoliError
from soli.training.settings import GenerationSettings

REPOSITORY = Path(__file__).parents[2]
CONFIGS = REPOSITORY / "configs"
CHOICES = sorted(
    (path.parts[0], Path(*path.parts[1:]).with_suffix("").as_posix())
    for path in (p.relative_to(CONFIGS) for p in CONFIGS.glob("*/**/*.yaml"))
)
GIVEN_BY_SOLI = {"decoder": {"feature_dim", "vocabulary"}, "text_encoder": {"vocabulary"}}  # arguments that no config holds


@pytest.mark.parametrize(("group", "choice"), CHOICES)
def test_every_choice_of_every_group_composes(group: str, choice: str) -> None:
    own = OmegaConf.to_container(OmegaConf.load(CONFIGS / group / f"{choice}.yaml"))
    try:
        config = compose([f"{group}={choice}"])
    except SoliError as error:  # a file must be named: the message says how to do without
        config = compose([f"{group}={choice}", *re.findall(r"or (\S+=null)", str(error))])
    assert set(config) == set(get_type_hints(SCHEMAS["train"]))
    if "_target_" in own:
        arguments = set(inspect.signature(find_target(own["_target_"])).parameters)
        assert set(own) - {"_target_"} == arguments - GIVEN_BY_SOLI.get(group, set())


@pytest.mark.parametrize("name", SCHEMAS)
def test_schema_has_exactly_the_keys_of_its_yaml(name: str) -> None:
    own = OmegaConf.to_container(OmegaConf.load(CONFIGS / f"{name}.yaml"))
    groups = {next(iter(default)) for default in own.pop("defaults", []) if isinstance(default, dict)} - {"experiment", "sweep"}
    kinds = get_type_hints(SCHEMAS[name])
    assert set(own) | groups == set(kinds)
    for key, kind in kinds.items():
        if dataclasses.is_dataclass(kind) and key in own:
            assert set(own[key]) <= set(get_type_hints(kind)), key
        assert kind is not Part or key in groups


def test_generation_of_the_other_commands_is_that_of_training_or_null() -> None:
    assert get_type_hints(GenerationChanges) == {name: kind | None for name, kind in get_type_hints(GenerationSettings).items()}
