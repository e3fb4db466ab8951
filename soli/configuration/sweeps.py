"""Several jobs from one command: --multirun, or a choice of the group sweep. What is asked for, the jobs, and how they ended."""

from __future__ import annotations

import importlib
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from hydra._internal.callbacks import Callbacks
from hydra._internal.core_plugins.basic_launcher import BasicLauncherConf
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper, BasicSweeperConf
from hydra._internal.hydra import Hydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import run_job
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, open_dict, read_write

from soli.configuration.entry import INTERRUPTED, ending_at_once
from soli.configuration.jobs import SWEEP, Job, Outcome, written_overrides
from soli.configuration.loading import check_resolved
from soli.interfaces import SoliError
from soli.printing import printable


@dataclass
class Sweep:
    """The jobs of the command `name`, each done by `work`, whatever its launcher.

    `told` is the module, if any, that is told of all jobs before the first and after the last: its `before(jobs)` raises SoliError for
    what cannot end well, its `after(jobs, outcomes, arguments)` says what came of them, and how to go on.
    """

    hydra: Hydra
    name: str
    config: DictConfig  # with nothing but Hydra's own section
    overrides: Sequence[str]  # as given, with those that make Hydra quiet
    work: Callable[[DictConfig], Outcome]
    arguments: Sequence[str]  # as the user typed them
    told: ModuleType | None = None
    outcomes: dict[int, Outcome] = field(default_factory=dict)  # by the number of the job, as far as they have ended

    def jobs(self) -> list[Job]:
        """All of them, composed and checked. Raises SoliError; those of another sweeper than Hydra's own are not known beforehand."""
        lines = [f"{key}={values}" for key, values in (self.config.hydra.sweeper.params or {}).items()]
        loader = self.hydra.config_loader
        parsed = OverridesParser.create(config_loader=loader).parse_overrides([*lines, *written_overrides(self.config, "task")])
        (combinations,) = BasicSweeper.split_arguments(parsed, None)
        jobs = []
        for number, overrides in enumerate(combinations):
            config = loader.load_sweep_config(self.config, overrides)
            with open_dict(config):
                config.hydra.job.id, config.hydra.job.num = str(number), number
            own = [one for one in overrides if len(combinations) == 1 or not all(one in others for others in combinations)]
            jobs.append(Job(number, overrides, config, " ".join(own)))
        return jobs

    @property
    def is_known(self) -> bool:
        """Whether its jobs are known beforehand."""
        return self.config.hydra.sweeper._target_ == BasicSweeperConf._target_

    @property
    def launcher(self) -> str:
        """The one that was chosen, by an override or by the yaml of the sweep."""
        return str(self.config.hydra.runtime.choices.get("hydra/launcher"))

    def run(self, jobs_at_a_time: int) -> int:
        """The exit code: 1 where a job has failed. Raises SoliError for what no job should begin with, and KeyboardInterrupt, after it was
        told what is done.
        """
        launches = bool(_given("hydra/launcher", self.overrides)) or self.config.hydra.launcher._target_ != BasicLauncherConf._target_
        if jobs_at_a_time > 1 and launches:
            raise SoliError(
                f"--jobs {jobs_at_a_time} and hydra/launcher={self.launcher} are two ways to start jobs: leave one of them out."
            )
        jobs = self.jobs() if self.is_known else []
        for job in jobs:
            with job.at_hand() as config:
                check_resolved(config, self.name)
        if self.told is not None:
            self.told.before(jobs)
        is_dry = any(job.config.get("dry_run") for job in jobs)  # looked at here, one by one: launchers and logs would write
        elsewhere = (launches or jobs_at_a_time > 1) and not is_dry  # where nobody sees what jobs print
        with _notes(self.overrides, kept=elsewhere) as folder:
            try:
                if not jobs or (launches and not is_dry):
                    self._launch(folder)
                elif elsewhere:
                    self._run_side_by_side(jobs, jobs_at_a_time, folder)
                else:
                    self._run_one_by_one(jobs, folder)
            except KeyboardInterrupt as reason:
                if self.told is None:
                    raise
                how = f"{reason}, or with all jobs by" if str(reason) else "Interrupted: go on with"
                raise KeyboardInterrupt(f"{how} the same command.") from reason
            finally:
                self._conclude(jobs, says_failures=elsewhere or len(jobs) != 1)
        return max((outcome.code for outcome in self.outcomes.values()), default=0)

    def _run_one_by_one(self, jobs: Sequence[Job], folder: str) -> None:
        """In this process."""
        context = HydraContext(config_loader=self.hydra.config_loader, callbacks=Callbacks(self.config))
        for job in jobs:
            with read_write(job.config.hydra):
                job.config.hydra.sweep.dir = folder
            self.outcomes[job.number] = run_job(self.work, job.config, "hydra.sweep.dir", "hydra.sweep.subdir", context, False).return_value

    def _run_side_by_side(self, jobs: Sequence[Job], number: int, folder: str) -> None:
        with ending_at_once():
            module = importlib.import_module("soli.configuration.side_by_side")
        module.run(self.name, jobs, number, Path(folder), self.outcomes)

    def _launch(self, folder: str) -> None:
        """By the launcher and the sweeper that were chosen; others than Hydra's own may return nothing."""
        overrides = [f"hydra.mode={RunMode.MULTIRUN.name}", f"hydra.sweep.dir='{folder}'", *self.overrides]
        batches = self.hydra.multirun(self.name, self.work, overrides, with_log_configuration=False)
        returned = [done.return_value for batch in batches or () for done in batch]
        self.outcomes.update(enumerate(returned))

    def _conclude(self, jobs: Sequence[Job], says_failures: bool) -> None:
        """Says which jobs have failed and why, and what the command has to say of all of them."""
        failed = {number: outcome for number, outcome in self.outcomes.items() if outcome.code}
        sys.stdout.flush()
        if says_failures:
            titles = {job.number: f" ({job.title})" for job in jobs}
            for number, outcome in failed.items():
                how = "was stopped" if outcome.code == INTERRUPTED else "failed"
                message = f"error: job {number + 1}{titles.get(number, '')} {how}: {outcome.message}"
                print(printable(message), file=sys.stderr, flush=True)
        if self.told is not None and jobs:
            self.told.after(jobs, self.outcomes, self.arguments)


def sweep_config(hydra: Hydra, name: str, overrides: Sequence[str], asked: bool, has_default: bool) -> DictConfig | None:
    """Hydra's section of the config of a command that makes several jobs; None for one that does not.

    `asked`: by --multirun; `has_default`: a sweep is chosen unless another is. Raises SoliError for mistakes in it, and for a launcher that
    is not installed.
    """
    if not (asked or has_default or _given(SWEEP, overrides) or _given("hydra.mode", overrides)):
        return None
    launchers = _given("hydra/launcher", overrides)
    if any(launcher.startswith("submitit") for launcher in launchers) and find_spec("submitit") is None:
        raise SoliError(f"hydra/launcher={launchers[-1]} needs another package: pip install 'hydra-submitit-launcher>=1.2'.")
    config = hydra.config_loader.load_configuration(name, list(overrides), RunMode.MULTIRUN)
    mode = RunMode.MULTIRUN if asked else config.hydra.mode
    if mode is None and config.hydra.runtime.choices.get(SWEEP) is not None:
        mode = RunMode.MULTIRUN
    return config if mode == RunMode.MULTIRUN else None


def _given(key: str, overrides: Sequence[str]) -> list[str]:
    """The values that a key or group is given."""
    return [override.partition("=")[2] for override in overrides if override.lstrip("+").startswith(f"{key}=")]


@contextmanager
def _notes(overrides: Sequence[str], kept: bool) -> Iterator[str]:
    """The folder for notes on a sweep, which is removed unless jobs are processes of their own, perhaps on other machines.

    Such jobs find there what they are to do, and leave their output.
    """
    if not kept:
        with tempfile.TemporaryDirectory() as scratch:
            yield scratch
        return
    given = _given("hydra.sweep.dir", overrides)
    folder = given[-1] if given else f"runs/sweeps/{datetime.now():%Y-%m-%d_%H-%M-%S}"
    print(f"Notes on the sweep, and what its jobs print, are kept in {folder}", flush=True)
    yield folder
