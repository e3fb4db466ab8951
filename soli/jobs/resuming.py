"""What a command that resumes a run may say: the run's own config counts, and what is given again must agree with it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from soli.configuration import job_overrides
from soli.configuration.kinds import show
from soli.interfaces import SoliError
from soli.runs import read_config


def resumed_settings(folder: Path, config: DictConfig) -> dict[str, Any]:
    """The config that the run was started with; only `runtime` and the folder of `features.cache` may be given anew.

    Raises SoliError when something else is given and is not as it was, naming the keys.
    """
    given = [override for override in job_overrides() if not override.startswith(("resume=", "runtime=", "runtime.", "features.cache="))]
    settings = read_config(folder, key="resume")
    differing = [
        f"{key} was {show(_at(settings, key))}, is {show(_at(config, key))}"
        for override in given
        for key in _compared(override.partition("=")[0], settings)
        if not _agrees(key, _at(config, key), _at(settings, key))
    ]
    if differing:
        raise SoliError(
            f"resume={folder} continues with the run's own config, and {'; '.join(differing)}. Leave it out, or start a new run."
        )
    if any(override.startswith("features.cache=") for override in job_overrides()):
        settings["features"]["cache"] = config.features.cache
    keys = [override.split("=")[0].removeprefix("runtime.") for override in job_overrides() if override.startswith("runtime.")]
    if any(override.startswith("runtime=") for override in job_overrides()):
        return {**settings, "runtime": OmegaConf.to_container(config.runtime)}
    return {**settings, "runtime": {**settings["runtime"], **{key: config.runtime[key] for key in keys}}}


def _compared(key: str, settings: Mapping[str, Any]) -> list[str]:
    """The keys that an override sets: itself, and of an experiment everything but what may change.

    Of an encoder or decoder that a pretrained model replaced, only the class can be compared.
    """
    if key in ("encoder", "decoder") and settings["model"]["pretrained"] is not None:
        return [f"{key}._target_"]
    return [name for name in settings if name not in ("runtime", "run_dir", "resume", "features")] if key == "experiment" else [key]


def _agrees(key: str, given: Any, recorded: Any) -> bool:
    """Whether a value is as it was; of the choice of an encoder or decoder, but for what pretrained weights said of it."""
    if key in ("encoder", "decoder"):
        return all(
            value is None or (_agrees(key, value, recorded.get(name)) if isinstance(value, Mapping) else value == recorded.get(name))
            for name, value in given.items()
        )
    return given == recorded


def _at(config: Mapping[str, Any], key: str) -> Any:
    """The value at a dotted key, as plain containers."""
    value: Any = OmegaConf.to_container(config, resolve=True) if OmegaConf.is_config(config) else config
    for name in key.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value
