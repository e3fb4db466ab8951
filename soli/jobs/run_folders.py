"""Where a run goes: the folder that was given, or one under runs/ that is named after what was chosen."""

from __future__ import annotations

from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from soli.configuration import job_overrides, override_dirname
from soli.configuration.jobs import SWEEP


def run_folder(config: DictConfig) -> Path:
    """That of the present job, whose config this is."""
    return Path(config.resume or config.run_dir or default_run_dir())


def default_run_dir() -> Path:
    """runs/<experiment>, or runs/<dataset>_<encoder>_<decoder>_<variant>, with what else was chosen or overridden appended."""
    choices = HydraConfig.get().runtime.choices
    named = ["experiment"] if choices.get("experiment") else ["dataset", "encoder", "decoder", "variant"]
    given = dict(override.partition("=")[::2] for override in job_overrides())
    others = [group for group in given if group in choices and group not in (*named, SWEEP)]
    parts = [str(choices[group]) for group in [*named, *others]]
    return Path("runs") / "_".join([*parts, *filter(None, [override_dirname(job_overrides())])]).replace("/", "_")
