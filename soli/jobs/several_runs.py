"""Several runs to be compared: each is evaluated, unless it was in the same way already, and all are grouped by variant."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import DictConfig

from soli.interfaces import SoliError
from soli.jobs.captioned_runs import Plan, digest
from soli.jobs.compared_runs import check_alike, groups_of
from soli.jobs.scored_runs import ScoredRun
from soli.printing import printable

Runs = Sequence[str] | Mapping[str, Sequence[str]]  # folders, or those of each variant


class Several(NamedTuple):
    """Runs to be compared: what is to be evaluated of each, the runs of each variant, and the folders."""

    plans: dict[str, Plan]
    groups: dict[str, list[str]]
    shared: Path  # of the evaluations, for all comparisons of the same runs
    output: Path  # of this comparison

    @classmethod
    def of(cls, runs: Runs, config: DictConfig, metrics: Sequence[str], kind: type[Plan] = Plan) -> Several:
        """Raises SoliError for runs that cannot be compared; `kind` is how a run is planned."""
        given = _flat(runs)
        plans = {run: kind.of(Path(run), config, "runs") for run in given}
        check_alike(list(plans.values()), metrics)
        groups = groups_of(runs, {run: plan.trained for run, plan in plans.items()})
        shared = output_folder(config.output or Path(given[0]).parent / "comparison" / config.split)
        output = shared if config.output else shared / "_vs_".join(groups).replace("/", "_")
        return cls(plans, groups, shared, output)

    def evaluated(self, find: Callable[[Plan, Path], Any], score: Callable[[Plan, Any, Path], ScoredRun]) -> dict[str, list[ScoredRun]]:
        """The runs of each variant with their scores.

        What `find` has of a run, in its own folder or in the shared one, is taken as it is. `score` gets that or None, and the folder for
        new evaluations.
        """
        scored: dict[str, ScoredRun] = {}
        for number, (run, plan) in enumerate(self.plans.items(), start=1):
            here = own_folder(self.shared, plan.folder)
            found = find(plan, plan.folder / "evaluation" / plan.split) or find(plan, here)
            what = "its evaluation is there already" if found else "evaluating"
            print(f"Run {number} of {len(self.plans)}, {printable(run)}: {what}", flush=True)
            scored[run] = score(plan, found, here)
        return {name: [scored[run] for run in members] for name, members in self.groups.items()}

    def say(self, runs: Runs) -> None:
        """Prints which runs of a list were taken together, and what the differences are."""
        for name, members in self.groups.items() if not isinstance(runs, Mapping) else ():
            if len(members) > 1:
                print(f"{printable(name)} is {printable(', '.join(members))}, which differ in nothing but the seed and the like.")
        if len(self.groups) > 1:
            print(
                "Differences are from the first variant, low to high their 95 % intervals: "
                "paired bootstrap over photographs, not over seeds."
            )


def own_folder(shared: Path, run: Path) -> Path:
    """Where comparisons that share a folder keep the evaluation of a run."""
    folder = run.resolve()
    return shared / f"{folder.name}_{digest(str(folder).encode())[:6]}"


def output_folder(output: str | Path) -> Path:
    """Raises SoliError for a file."""
    if Path(output).exists() and not Path(output).is_dir():
        raise SoliError(f"output={output} is a file: give a folder, new or of an earlier evaluation.")
    return Path(output)


def _flat(runs: Runs) -> list[str]:
    """All runs. Raises SoliError for a variant without runs, a run given twice, and fewer than two."""
    if not runs:
        raise SoliError("runs is empty: give two at least, as runs=[<folder>,<folder>].")
    groups = runs if isinstance(runs, Mapping) else {"runs": runs}
    empty = [name for name, members in groups.items() if not members]
    if empty:
        raise SoliError(f"runs: {', '.join(empty)} has no run. Give at least one for each variant.")
    given = [run for members in groups.values() for run in members]
    folders = [Path(run).resolve() for run in given]
    twice = sorted({run for run, folder in zip(given, folders, strict=True) if folders.count(folder) > 1})
    if twice:
        raise SoliError(f"runs has {', '.join(twice)} more than once: give every run once.")
    if len(given) < 2:
        raise SoliError(f"runs has only {given[0]}: give two at least, or run=<folder> for one.")
    return given
