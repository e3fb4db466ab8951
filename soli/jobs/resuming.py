"""What a command that resumes a run may say: the run's own config counts, and what is given again must agree with it.

A sweep that is typed again goes on with its runs: then all their settings must be what they were.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from soli.configuration import job_overrides
from soli.configuration.kinds import show
from soli.interfaces import SoliError
from soli.jobs.starting import completed
from soli.printing import first_few
from soli.runs import OF_THE_COMMAND, read_config
from soli.training.checkpoint import LAST, read_progress
from soli.training.leftovers import is_finished
from soli.training.processes import is_first_process


def resumed_settings(folder: Path, config: DictConfig) -> dict[str, Any]:
    """The config that the run was started with; only `runtime`, the folder of `features.cache` and `dry_run` may be given anew.

    Raises SoliError when something else is given and is not as it was, naming the keys.
    """
    free = ("resume=", "dry_run=", "runtime=", "runtime.", "features.cache=")
    given = [override for override in job_overrides() if not override.startswith(free)]
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


def plain_settings(config: DictConfig) -> dict[str, Any]:
    """The config of the command as plain containers, without what no run folder holds."""
    settings: dict[str, Any] = OmegaConf.to_container(config, resolve=True)
    return {key: value for key, value in settings.items() if key not in OF_THE_COMMAND}


def is_begun(folder: Path, config: DictConfig) -> bool:
    """Whether a run that this config would begin lies in its folder already."""
    return config.resume is None and (folder / "config.yaml").is_file()


def begun_settings(folder: Path, config: DictConfig) -> dict[str, Any]:
    """The config that the run was begun with, where and how fast as in `config`.

    Raises SoliError where a run that began now would have other settings, naming the keys.
    """
    now = plain_settings(config)
    begun, wanted = read_config(folder, key="run_dir"), completed(now)
    cache = {"cache": now["features"]["cache"]}
    taken = {**begun, "runtime": now["runtime"], "run_dir": now["run_dir"], "features": {**begun["features"], **cache}}
    differing = list(_differences(taken, {**wanted, "resume": taken["resume"]}))
    if differing:
        raise SoliError(
            f"{folder} holds a run with other settings: {first_few(differing, between='; ')}. "
            "Repeat the command as it was, give another run_dir, or move the run away."
        )
    return taken


def has_ended(folder: Path, settings: Mapping[str, Any], goes_on: bool) -> bool:
    """Whether nothing is left to do of a run, which the first process says; `goes_on`: in a sweep, which says too what it goes on with.

    There a run that has taken the steps of runtime.max_steps has done what was asked for.
    """
    ended, most, sentence = is_finished(folder), settings["runtime"]["max_steps"], ""
    step = read_progress(folder / LAST).step if not ended and (folder / LAST).is_file() else 0
    if ended:
        sentence = f"The run {folder} is finished: there is nothing {'left to do' if goes_on else 'to resume'}."
    elif goes_on and most is not None and step >= most:
        ended, sentence = True, f"The run {folder} has taken {step} steps (runtime.max_steps={most}): there is nothing left to do."
    elif goes_on:
        sentence = f"The run {folder} was begun before: it goes on after step {step}."
    if sentence and is_first_process():
        print(sentence)
    return ended


def _differences(begun: Any, wanted: Any, key: str = "") -> Iterator[str]:
    """`epochs was 5, is 6`, for every key whose value differs."""
    if isinstance(begun, Mapping) and isinstance(wanted, Mapping):
        for name in dict.fromkeys([*begun, *wanted]):
            yield from _differences(begun.get(name), wanted.get(name), f"{key}.{name}" if key else str(name))
    elif begun != wanted:
        yield f"{key} was {show(begun)}, is {show(wanted)}"


def _compared(key: str, settings: Mapping[str, Any]) -> list[str]:
    """The keys that an override sets: itself, and of an experiment everything but what may change.

    Of an encoder or decoder that a pretrained model replaced, only the class can be compared; words are those of the run of `init_from`.
    """
    free = ("runtime", "run_dir", "resume", "features", *(["vocabulary"] if settings["init_from"] is not None else []))
    if key in ("encoder", "decoder") and settings["model"]["pretrained"] is not None:
        return [f"{key}._target_"]
    return [name for name in settings if name not in free] if key == "experiment" else [key]


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
