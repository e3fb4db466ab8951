"""--help: what it says is what the yaml files say, and what it names is there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from soli.configuration import compose
from soli.configuration.folder import config_folder
from soli.configuration.help_page import Page, comments, help_page
from soli.configuration.loading import CheckedLoader, hydra_version
from soli.configuration.schema import SCHEMAS
from soli.interfaces import SoliError

CONFIGS = Path(__file__).parents[2] / "configs"
GROUPS = {path.name: [file.relative_to(path).with_suffix("").as_posix() for file in path.rglob("*.yaml")] for path in CONFIGS.glob("*/")}


def whole_page(name: str) -> str:
    with hydra_version():
        loader = CheckedLoader()
        return help_page(name, {group: loader.choices(group) for group in loader.groups(name)})


def keys(value: object, prefix: str = "") -> dict[str, object]:
    """Every dotted key below a mapping, with its value."""
    if not isinstance(value, dict):
        return {}
    found = {f"{prefix}{key}": item for key, item in value.items()}
    return {**found, **{name: item for key, inner in found.items() for name, item in keys(inner, f"{key}.").items()}}


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_page_fits_a_screen(name: str) -> None:
    lines = whole_page(name).splitlines()
    assert len(lines) <= 60 and max(map(len, lines[:-1])) <= 100
    assert lines[0].endswith(".") and lines[2].startswith(f"usage: python -m soli.{name} ") and lines[-1].strip().endswith(f"{name}.yaml")


def test_every_group_has_its_choices_and_its_default() -> None:
    page = whole_page("train")
    defaults = OmegaConf.to_container(OmegaConf.load(CONFIGS / "train.yaml"))["defaults"]
    assert {group for default in defaults if default != "_self_" for group in default} == set(GROUPS)
    words = set(re.split(r"[\s,]+", page))
    for default in defaults:
        for group, choice in default.items() if default != "_self_" else ():
            assert f"  {group}={'null' if choice is None else choice} " in page
            assert set(GROUPS[group]) <= words


def every_key(name: str) -> dict[str, object]:
    """The keys of a command, those of every choice of its groups too."""
    config = OmegaConf.to_container(OmegaConf.load(CONFIGS / f"{name}.yaml"))
    found = keys(config)
    for default in config.get("defaults", []):
        for group in set(default) - {"experiment", "sweep"} if default != "_self_" else ():
            for choice in GROUPS[group]:
                found |= dict.fromkeys(keys(OmegaConf.to_container(OmegaConf.load(CONFIGS / group / f"{choice}.yaml")), f"{group}."))
    return found


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_key_of_the_page_is_one_of_the_command_and_has_a_text(name: str) -> None:
    page, known = Page.of(name), every_key(name)
    assert page.keys and set(page.keys) <= set(known)
    assert [key for key, text in page.keys.items() if len(text.split()) < 2] == []
    for key, (written, _) in page.settings.items():
        if key in known and written:
            assert OmegaConf.to_container(OmegaConf.create(f"value: {written}"))["value"] == known[key], key
    assert set(page.settings) - set(known) <= {f"defaults.{group}" for group in GROUPS}


@pytest.mark.parametrize(("name", "example"), [(name, example) for name in SCHEMAS for example in Page.of(name).examples])
def test_every_example_is_a_command_that_composes(name: str, example: str) -> None:
    program, *arguments = shlex.split(example, comments=True)
    assert [program, *arguments[:2]] == ["python", "-m", f"soli.{name}"]
    overrides = arguments[2:]
    if "--multirun" in overrides or any(override.startswith("sweep=") for override in overrides):
        overrides = [re.sub(r",.*", "", override) for override in overrides if override != "--multirun"]
    assert set(compose(overrides, name)) == set(SCHEMAS[name].__annotations__)


def test_comments_are_read_with_their_keys() -> None:
    text = "# the head\na: 1  # one\nb:   # two\n  c: [x, y]   # three,\n           # and more\n\n"
    text += "  # alone\n  d: null\ndefaults:\n  - e: f  # four\n"
    assert comments(text) == {
        "a": ("1", "one"),
        "b": ("", "two"),
        "b.c": ("[x, y]", "three, and more"),
        "b.d": ("null", ""),
        "defaults": ("", ""),
        "defaults.e": ("f", "four"),
    }


def test_a_key_of_the_page_that_is_renamed_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key without a text of its own whose line is gone cannot be shown at all."""
    text = (config_folder() / "train.yaml").read_text(encoding="utf-8")
    (tmp_path / "train.yaml").write_text(text.replace("\nepochs: 10", "\nepoch: 10"), encoding="utf-8")
    monkeypatch.setattr("soli.configuration.help_page.config_folder", lambda: tmp_path)
    with pytest.raises(KeyError, match="epochs"):
        Page.of("train")
    with pytest.raises(SoliError, match="no group or key epoch "):
        compose(["epoch=10"])
