"""What a command does with its overrides, --multirun, --cfg and --help: calls the `main(config)` of a module, errors as one line."""

from __future__ import annotations

import functools
import importlib
import os
import sys
import traceback
from collections.abc import Callable, Sequence

from hydra._internal.hydra import Hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig

from soli.configuration.arguments import parse
from soli.configuration.checks import check_repeated, repeated
from soli.configuration.entry import ending_at_once
from soli.configuration.help_page import help_page
from soli.configuration.jobs import SWEEP, Outcome, job_number, job_overrides
from soli.configuration.loading import CheckedLoader, check_resolved, hydra_version
from soli.configuration.misuse import check_arguments
from soli.configuration.sweeps import Sweep, sweep_config
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


def run(config_name: str, job: str, arguments: Sequence[str], sweep: str | None = None) -> int:
    """The exit code; Hydra's state is afterwards as it was. Raises KeyboardInterrupt, and what is not the user's mistake.

    `sweep` names the module that is told of the jobs where a command makes several (`Sweep.told`).
    """
    before = HydraConfig.instance().cfg
    try:
        return in_one_line(lambda: _run(config_name, job, arguments, sweep)).code
    finally:
        HydraConfig.instance().cfg = before


def _run(config_name: str, job: str, arguments: Sequence[str], told: str | None) -> int:
    work = functools.partial(_work, config_name, job)
    with hydra_version():
        loader = CheckedLoader()
        defaults = loader.groups(config_name)
        groups = {group: loader.choices(group) for group in defaults}
        check_arguments(config_name, arguments, groups)
        options = parse(arguments)
        check_repeated(options.overrides)
        for sentence in repeated(options.overrides):
            print(sentence, file=sys.stderr, flush=True)
        if options.help:
            print(help_page(config_name, groups))
            return 0
        hydra = Hydra(task_name=config_name, config_loader=loader)
        config = sweep_config(hydra, config_name, [*QUIET, *options.overrides], options.multirun, defaults.get(SWEEP) is not None)
        sweep = None if config is None else Sweep(hydra, config_name, config, [*QUIET, *options.overrides], work, arguments)
        _check_jobs(options.jobs, sweep)
        if options.cfg:
            given = options.overrides if sweep is None or not sweep.is_known else _of_first_job(sweep)
            hydra.show_cfg(config_name, given, options.cfg, package=None, resolve=options.resolve)
            return 0
        if sweep is None:
            overrides = [*QUIET, f"hydra.mode={RunMode.RUN.name}", *options.overrides]
            outcome: Outcome = hydra.run(config_name, work, overrides, with_log_configuration=False).return_value
            return outcome.code
        with ending_at_once():
            sweep.told = None if told is None else importlib.import_module(told)
        return sweep.run(options.jobs or 1)


def _check_jobs(number: int | None, sweep: Sweep | None) -> None:
    """Raises SoliError for a number of jobs at a time that cannot be; None: none was given."""
    if number is None:
        return
    if number < 1:
        raise SoliError(f"--jobs {number} must be at least 1.")
    if sweep is None:
        raise SoliError(f"--jobs {number} is for several jobs: add --multirun and values with commas (seed=1,2), or choose a sweep.")
    if number > 1 and "WORLD_SIZE" in os.environ:
        raise SoliError(f"--jobs {number} starts processes of its own: leave torchrun away.")


def _of_first_job(sweep: Sweep) -> list[str]:
    """The overrides of a sweep's first job, whose config stands for all of them; says so on stderr."""
    jobs = sweep.jobs()
    print(f"The config of the first of {len(jobs)} jobs, {jobs[0].title}:", file=sys.stderr, flush=True)
    return [*jobs[0].hydra_overrides, *jobs[0].overrides]


def _work(config_name: str, job: str, config: DictConfig) -> Outcome:
    """One job. In a sweep it returns whatever happens, so that a mistake or a fault in one job leaves the others running."""
    number = job_number()

    def checked() -> int:
        if number is not None:
            given = [override for override in job_overrides() if not override.startswith(f"{SWEEP}=")]
            print(f"Job {number + 1}: {' '.join(given)}", flush=True)
        check_resolved(config, config_name)
        with ending_at_once():
            module = importlib.import_module(job)
        module.main(config)
        return 0

    try:
        return in_one_line(checked)
    except Exception as reason:
        if number is None:
            raise
        traceback.print_exc()
        return Outcome(1, f"{type(reason).__name__}: {reason}".strip().splitlines()[0])


def in_one_line(action: Callable[[], int | None]) -> Outcome:
    """The action's exit code, 0 for None; 1 when it raises an error that one line says all about, which is printed."""
    try:
        return Outcome(action() or 0)
    except (SoliError, HydraException) as reason:
        message = str(reason)
    except BrokenPipeError:  # whoever read our output, such as `head`, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left of it must not fail at exit
        return Outcome(1)
    except OSError as reason:
        advice = remedy_elsewhere(reason)
        if reason.filename is None and advice is None:
            raise
        where = f"{reason.filename}: " if reason.filename is not None else ""
        message = f"{where}{reason.strerror or reason}. {advice or 'Check the path.'}"
    sys.stdout.flush()
    print(f"error: {printable(message)}", file=sys.stderr, flush=True)
    return Outcome(1, message)
