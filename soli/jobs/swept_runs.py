"""Several trainings from one command: what is seen to before the first, and after the last a table of the runs and the next command."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import OmegaConf

from soli.configuration.command_text import command_text, lists_setting, setting
from soli.configuration.entry import INTERRUPTED
from soli.configuration.jobs import SWEEP, Job, Outcome, is_group
from soli.evaluation.tables import text_table
from soli.interfaces import SoliError
from soli.jobs.next_steps import say_after_dry_run, say_next
from soli.jobs.recipe import check_decoder_learns, phases_of, selecting_metric
from soli.jobs.resuming import begun_settings, is_begun
from soli.jobs.run_folder import check_run_dir, run_folder
from soli.jobs.starting import like_start
from soli.json_text import parse_json
from soli.printing import printable
from soli.runs import read_config
from soli.training.leftovers import is_finished
from soli.training.processes import is_first_process

ALIKE = ("dataset", "degradation", "generation")  # sections that runs share whose scores compare
BESIDES = ("seed", "run_dir")  # what may differ between the runs of a variant


class SweptRun(NamedTuple):
    """A run of a sweep: its folder, what tells it from the others, and how far it has come."""

    folder: Path
    values: dict[str, str]  # of the keys that differ between the runs
    state: str  # trained, failed, stopped or not begun
    settings: Mapping[str, Any] | None  # None: it was not begun
    metric: str = ""
    score: float | None = None


def before(jobs: Sequence[Job]) -> None:
    """Raises SoliError, before hours are spent on others, for runs that cannot be trained, or would meet in one folder."""
    titles: dict[Path, list[str]] = {}
    for job in jobs:
        with job.at_hand() as config:
            folder = run_folder(config)
            titles.setdefault(folder, []).append(job.title)
            if config.resume is not None:
                continue
            try:
                if is_begun(folder, config):
                    begun_settings(folder, config)
                else:
                    check_run_dir(folder, config.features.cache)
                settings: dict[str, Any] = OmegaConf.to_container(config, resolve=True)
                if config.init_from is not None and Path(config.init_from).exists():
                    like_start(settings)
                check_decoder_learns(settings, phases_of(settings))
            except SoliError as reason:
                raise SoliError(f"Of job {job.number + 1} ({job.title}): {reason} No job was begun.") from reason
    for folder, of_folder in titles.items():
        if len(of_folder) > 1:
            which = "; ".join(filter(None, of_folder)) or "alike"
            raise SoliError(
                f"{folder} would be the folder of {len(of_folder)} runs ({which}): give each its own, "
                "as 'run_dir=runs/try_${seed}', or leave run_dir out and repeat no value."
            )


def after(jobs: Sequence[Job], outcomes: Mapping[int, Outcome], arguments: Sequence[str]) -> None:
    """Prints what each run is and its best score, and next the comparison of all; or the same command, while runs are left.

    After a dry run without failures: the command that trains them.
    """
    if not is_first_process():
        return
    if any(job.config.dry_run for job in jobs):
        if len(outcomes) == len(jobs) and not any(outcome.code for outcome in outcomes.values()):
            say_after_dry_run(arguments)
        return
    runs = list(_runs(jobs, outcomes))
    print("\n" + text_table(list(map(_row, runs))))
    trained = [run for run in runs if run.state == "trained"]
    if len(trained) == len(runs):
        say_next("evaluate", *compared(runs))
        return
    if len(trained) > 1 and any(run.state == "failed" for run in runs):
        print(printable(f"Without those that failed: {command_text('evaluate', *compared(trained))}"))
    say_next("train", *arguments, purpose="goes on with what is left; runs that are trained stay")


def compared(runs: Sequence[SweptRun]) -> list[str]:
    """The arguments of soli.evaluate for runs that are trained: side by side, by variant where more than the seed differs."""
    only_match = all(run.metric == "rsum" for run in runs)
    runs = [run for run in runs if only_match or run.metric != "rsum"]  # of the others no captions can be scored
    metrics = ["metrics=retrieval"] if only_match else []
    folders = [run.folder for run in runs]
    if len(folders) > 1 and any(_compared_by(run) != _compared_by(runs[0]) for run in runs):
        return ["--multirun", f"run={','.join(setting('', folder)[1:] for folder in folders)}", *metrics]
    variants = _variants(runs)
    if len(variants) > 1:
        return [lists_setting("runs", variants), *metrics]
    return [setting("runs" if len(folders) > 1 else "run", *folders), *metrics]


def _runs(jobs: Sequence[Job], outcomes: Mapping[int, Outcome]) -> Iterator[SweptRun]:
    given = [dict(override.lstrip("+").partition("=")[::2] for override in job.overrides) for job in jobs]
    keys = [key for key in given[0] if key not in (SWEEP, "run_dir", "resume") and len({values.get(key) for values in given}) > 1]
    for job, values in zip(jobs, given, strict=True):
        with job.at_hand() as config:
            folder = run_folder(config)
        told = {key: values[key] for key in keys}
        settings = None
        with suppress(SoliError, OSError):  # what is wrong with a run was said when it failed
            settings = read_config(folder)
        state = _state(folder, outcomes.get(job.number), settings is not None)
        if settings is None:
            yield SweptRun(folder, told, state, None)
        else:
            metric = selecting_metric(settings, phases_of(settings))
            yield SweptRun(folder, told, state, settings, metric, best_score(folder / "metrics.jsonl", metric))


def _state(folder: Path, outcome: Outcome | None, is_run: bool) -> str:
    """In a word. A run whose job did not tell how it ended, or was not begun, is as its folder says."""
    if outcome is not None and outcome.code != INTERRUPTED:
        return "failed" if outcome.code else "trained"
    if not is_run:
        return "not begun"
    with suppress(SoliError):
        return "trained" if is_finished(folder) else "stopped"
    return "failed"


def best_score(log: Path, metric: str) -> float | None:
    """The highest one of the validations of the last phase in a run's log; None where it tells of none."""
    try:
        lines = [parse_json(line) for line in log.read_text(encoding="utf-8").splitlines()]
        validations = [line for line in lines if line["kind"] == "validation"]
        return max((float(line[metric]) for line in validations if line["phase"] == validations[-1]["phase"]), default=None)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _row(run: SweptRun) -> dict[str, Any]:
    score = {run.metric: run.score} if run.metric else {}
    return {"run": printable(run.folder), **run.values, **score, "state": run.state}


def _compared_by(run: SweptRun) -> dict[str, Any]:
    return {section: (run.settings or {}).get(section) for section in ALIKE}


def _variants(runs: Sequence[SweptRun]) -> dict[str, list[Path]]:
    """The folders of each variant by a word for it; of several whose words are the same, the later ones' end in a number."""
    groups: dict[tuple[tuple[str, str], ...], list[Path]] = {}
    for run in runs:
        groups.setdefault(tuple((key, value) for key, value in run.values.items() if key not in BESIDES), []).append(run.folder)
    variants: dict[str, list[Path]] = {}
    for values, folders in groups.items():
        word, number = _word(values), 2
        while f"{word}-{number}" in variants:
            number += 1
        variants[f"{word}-{number}" if word in variants else word] = folders
    return variants


def _word(values: Sequence[tuple[str, str]]) -> str:
    """Of keys and values, one that also Hydra takes for a word: `par`, `par_lr-0.001`."""
    words = [value if is_group(key) else f"{key.rpartition('.')[2]}-{value}" for key, value in values]
    return re.sub(r"[^\w.-]+", "-", "_".join(words)).strip("-")
