"""Configs: composed by Hydra, every key and value checked, and turned into parts. With the commands the only code that knows Hydra."""

from __future__ import annotations

from soli.configuration.console import command
from soli.configuration.jobs import job_overrides, override_dirname
from soli.configuration.loading import compose
from soli.configuration.targets import build, find_target

__all__ = ["build", "command", "compose", "find_target", "job_overrides", "override_dirname"]
