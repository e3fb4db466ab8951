"""Turns `main(config)` into a console command: overrides, --multirun, --cfg, --help, and errors as one line."""

from __future__ import annotations

import argparse
import errno
import functools
import sys
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

from hydra._internal.hydra import Hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from soli.configuration.folder import config_folder
from soli.configuration.jobs import job_overrides
from soli.configuration.loading import CheckedLoader, check_resolved, hydra_version
from soli.interfaces import SoliError

Main = Callable[[DictConfig], None]


def command(config_name: str) -> Callable[[Main], Callable[[], None]]:
    """A decorator for `main(config)`: the result takes its overrides from the command line.

    A SoliError ends it as one line on stderr with exit code 1, Ctrl-C with 130; other exceptions keep their traceback.
    Hydra writes nothing, changes no folder and configures no logging.
    """

    def decorate(main: Main) -> Callable[[], None]:
        @functools.wraps(main)
        def run() -> None:
            try:
                code = _in_one_line(lambda: _run(main, config_name, sys.argv[1:]))
            except KeyboardInterrupt as reason:
                print(str(reason) or "Interrupted.", file=sys.stderr)
                code = 130
            if code:
                sys.exit(code)

        return run

    return decorate


def _run(main: Main, config_name: str, arguments: Sequence[str]) -> int:
    options = _parser().parse_intermixed_args(arguments)
    with hydra_version(), tempfile.TemporaryDirectory() as scratch:
        loader = CheckedLoader()
        if options.help:
            print(_help(loader, config_name))
            return 0
        hydra = Hydra(task_name=config_name, config_loader=loader)
        if options.cfg:
            hydra.show_cfg(config_name, options.overrides, options.cfg, package=None, resolve=options.resolve)
            return 0
        mode = RunMode.MULTIRUN if options.multirun else RunMode.RUN
        overrides = [*_quiet(scratch, mode), *options.overrides]
        start = hydra.multirun if options.multirun else hydra.run
        result = start(config_name, functools.partial(_job, main, config_name), overrides, with_log_configuration=False)
    return max((job.return_value for job in _jobs(result)), default=0)


def _job(main: Main, config_name: str, config: DictConfig) -> int:
    """One job; returns its exit code, so that a mistake in one job of a sweep leaves the others running."""

    def checked() -> int:
        if HydraConfig.get().mode == RunMode.MULTIRUN:
            print(f"Job {HydraConfig.get().job.num}: {' '.join(job_overrides())}", flush=True)
        check_resolved(config, config_name)
        main(config)
        return 0

    return _in_one_line(checked)


def _in_one_line(action: Callable[[], int]) -> int:
    """The action's exit code; 1 when it raises an error that one line says all about, which is printed."""
    try:
        return action()
    except SoliError as reason:
        message = str(reason)
    except OSError as reason:
        if reason.filename is None and reason.errno not in _REMEDIES:
            raise
        where = f"{reason.filename}: " if reason.filename is not None else ""
        message = f"{where}{reason.strerror or reason}. {_REMEDIES.get(reason.errno or 0, 'Check the path.')}"
    sys.stdout.flush()
    print(f"error: {message}", file=sys.stderr, flush=True)
    return 1


_REMEDIES = {
    errno.ENOSPC: "Free some space, or choose a folder on another disk.",
    errno.EDQUOT: "Free some space, or choose a folder on another disk.",
    errno.EACCES: "Check its permissions, or choose another path.",
    errno.EPERM: "Check its permissions, or choose another path.",
    errno.EROFS: "Nothing can be written there: choose another path.",
}


def _quiet(scratch: str, mode: RunMode) -> list[str]:
    """Overrides that keep Hydra from writing into the working folder and from configuring logging; a user's own come after them."""
    return [
        f"hydra.mode={mode.name}",
        "hydra.run.dir=.",
        f"hydra.sweep.dir='{scratch}'",
        "hydra.output_subdir=null",
        "hydra.job.chdir=false",
        "hydra/job_logging=none",
        "hydra/hydra_logging=none",
    ]


def _jobs(result: Any) -> list[Any]:
    """The finished jobs in what Hydra returns: one, or batches of them. Other sweepers than Hydra's own may return nothing."""
    if isinstance(result, list | tuple):
        return [job for batch in result for job in _jobs(batch)]
    return [] if result is None else [result]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="settings that differ from the config")
    parser.add_argument("--multirun", "-m", action="store_true", help="one job for each combination of comma-separated values")
    parser.add_argument("--cfg", "-c", choices=["job", "hydra", "all"], help="print the config instead of running")
    parser.add_argument("--resolve", action="store_true", help="with --cfg: resolve interpolations")
    parser.add_argument("--help", "-h", action="store_true", help="print this help")
    return parser


def _help(loader: CheckedLoader, config_name: str) -> str:
    groups = [f"  {group}={'|'.join(loader.choices(group))}" for group in loader.groups(config_name)]
    lines = [_parser().format_help().rstrip(), ""]
    if groups:
        lines += ["groups of settings:", *groups, ""]
    text = (config_folder() / f"{config_name}.yaml").read_text(encoding="utf-8").rstrip()
    return "\n".join([*lines, f"{config_name}.yaml:", *(f"  {line}".rstrip() for line in text.splitlines())])
