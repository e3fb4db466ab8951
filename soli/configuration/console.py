"""What a command does with its overrides, --multirun, --cfg and --help: calls the `main(config)` of a module, errors as one line."""

from __future__ import annotations

import functools
import importlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from importlib.util import find_spec

from hydra._internal.hydra import Hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig

from soli.configuration.arguments import parse
from soli.configuration.checks import check_repeated, repeated
from soli.configuration.entry import ending_at_once
from soli.configuration.help_page import help_page
from soli.configuration.jobs import job_overrides
from soli.configuration.loading import CheckedLoader, check_resolved, hydra_version
from soli.configuration.misuse import check_arguments
from soli.disks import remedy_elsewhere
from soli.interfaces import SoliError
from soli.printing import printable

# Hydra writes nothing into the working folder and configures no logging. A user's own hydra.* overrides come later and win.
QUIET = (
    "hydra.run.dir=.",
    "hydra.output_subdir=null",
    "hydra.job.chdir=false",
    "hydra/job_logging=none",
    "hydra/hydra_logging=none",
)


def run(config_name: str, job: str, arguments: Sequence[str]) -> int:
    """The exit code; Hydra's state is afterwards as it was. Raises KeyboardInterrupt, and what is not the user's mistake."""
    before = HydraConfig.instance().cfg
    try:
        return in_one_line(lambda: _run(config_name, job, arguments))
    finally:
        HydraConfig.instance().cfg = before


def _run(config_name: str, job: str, arguments: Sequence[str]) -> int:
    work = functools.partial(_work, config_name, job)
    with hydra_version():
        loader = CheckedLoader()
        groups = {group: loader.choices(group) for group in loader.groups(config_name)}
        check_arguments(config_name, arguments, groups)
        options = parse(arguments)
        check_repeated(options.overrides)
        for sentence in repeated(options.overrides):
            print(sentence, file=sys.stderr, flush=True)
        hydra = Hydra(task_name=config_name, config_loader=loader)
        if options.help:
            print(help_page(config_name, groups))
        elif options.cfg:
            hydra.show_cfg(config_name, options.overrides, options.cfg, package=None, resolve=options.resolve)
        elif options.multirun:
            return _sweep(hydra, config_name, work, options.overrides)
        else:
            overrides = [*QUIET, f"hydra.mode={RunMode.RUN.name}", *options.overrides]
            return hydra.run(config_name, work, overrides, with_log_configuration=False).return_value
    return 0


def _sweep(hydra: Hydra, config_name: str, work: Callable[[DictConfig], int], overrides: Sequence[str]) -> int:
    """Runs a job for each combination of values; 1 if one of them failed."""
    with _notes(overrides) as folder:
        overrides = [*QUIET, f"hydra.mode={RunMode.MULTIRUN.name}", f"hydra.sweep.dir='{folder}'", *overrides]
        batches = hydra.multirun(config_name, work, overrides, with_log_configuration=False)
    return max((done.return_value for batch in batches or () for done in batch), default=0)  # other sweepers may return nothing


@contextmanager
def _notes(overrides: Sequence[str]) -> Iterator[str]:
    """The folder for Hydra's notes on a sweep, which is removed, unless a launcher is named: that may start jobs on other machines.

    Such jobs find there what they are to do, and leave their output.
    """
    launchers = [override.partition("=")[2] for override in overrides if override.lstrip("+").startswith("hydra/launcher=")]
    if any(launcher.startswith("submitit") for launcher in launchers) and find_spec("submitit") is None:
        raise SoliError(f"hydra/launcher={launchers[-1]} needs the package hydra-submitit-launcher: pip install 'soli[slurm]'.")
    if not launchers:
        with tempfile.TemporaryDirectory() as scratch:
            yield scratch
        return
    given = [override.partition("=")[2] for override in overrides if override.startswith("hydra.sweep.dir=")]
    folder = given[-1] if given else f"runs/sweeps/{datetime.now():%Y-%m-%d_%H-%M-%S}"
    print(f"Hydra's notes on the sweep, and what a cluster's jobs print, are kept in {folder}", flush=True)
    yield folder


def _work(config_name: str, job: str, config: DictConfig) -> int:
    """One job; returns its exit code, so that a mistake in one job of a sweep leaves the others running."""

    def checked() -> int:
        if HydraConfig.get().mode == RunMode.MULTIRUN:
            print(f"Job {HydraConfig.get().job.num + 1}: {' '.join(job_overrides())}", flush=True)
        check_resolved(config, config_name)
        with ending_at_once():
            module = importlib.import_module(job)
        module.main(config)
        return 0

    return in_one_line(checked)


def in_one_line(action: Callable[[], int | None]) -> int:
    """The action's exit code, 0 for None; 1 when it raises an error that one line says all about, which is printed."""
    try:
        return action() or 0
    except (SoliError, HydraException) as reason:
        message = str(reason)
    except BrokenPipeError:  # whoever read our output, such as `head`, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left of it must not fail at exit
        return 1
    except OSError as reason:
        advice = remedy_elsewhere(reason)
        if reason.filename is None and advice is None:
            raise
        where = f"{reason.filename}: " if reason.filename is not None else ""
        message = f"{where}{reason.strerror or reason}. {advice or 'Check the path.'}"
    sys.stdout.flush()
    print(f"error: {printable(message)}", file=sys.stderr, flush=True)
    return 1
