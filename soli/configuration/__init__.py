"""Configs: composed by Hydra, every key and value checked, and turned into parts. With the commands the only code that knows Hydra."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from soli.configuration.entry import command, script

if TYPE_CHECKING:
    from soli.configuration.jobs import job_overrides, override_dirname
    from soli.configuration.loading import compose
    from soli.configuration.targets import build, find_target

__all__ = ["build", "command", "compose", "find_target", "job_overrides", "override_dirname", "script"]

PLACES = {
    "build": "targets",
    "compose": "loading",
    "find_target": "targets",
    "job_overrides": "jobs",
    "override_dirname": "jobs",
}


def __getattr__(name: str) -> Any:
    """All but `command` and `script` is imported at first use: Hydra takes its time, in which Ctrl-C must find an answer."""
    if name in PLACES:
        return getattr(importlib.import_module(f"soli.configuration.{PLACES[name]}"), name)
    raise AttributeError(f"module 'soli.configuration' has no attribute '{name}'")
