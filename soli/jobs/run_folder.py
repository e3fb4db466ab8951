"""The folder of a training: which one it is, whether it may become a run, and what a killed training has left in it."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from soli.configuration import job_overrides, override_dirname
from soli.configuration.command_text import setting
from soli.configuration.jobs import SWEEP
from soli.interfaces import SoliError
from soli.jobs.starting import PRETRAINED_PARTS, is_left_open
from soli.printing import first_few
from soli.runs import TOKENIZER, VOCABULARY, check_new
from soli.training.checkpoint import LAST
from soli.training.leftovers import UNFINISHED, check_last, remove_unfinished
from soli.training.lock import LOCK, RunLock

OWN = (LOCK, *UNFINISHED, "data.json", "versions.json", "config.yaml", VOCABULARY, TOKENIZER)  # of one that was killed as it began
OUTPUT = ("*.log", "*log*.txt", "*.out", "*.err")  # into which a shell or a cluster writes what is printed
HIDDEN = (".hydra", ".submitit", ".gitkeep", ".gitignore", ".nfs*", ".DS_Store")


def run_folder(config: DictConfig) -> Path:
    """That of the present job, whose config this is."""
    return Path(config.resume or config.run_dir or _default_run_dir())


def _default_run_dir() -> Path:
    """runs/<experiment>, or runs/<dataset>_<encoder>_<decoder>_<variant>, with what else was chosen or overridden appended.

    An encoder or decoder that `init_from` brings is not named.
    """
    choices = HydraConfig.get().runtime.choices
    named = ["experiment"] if choices.get("experiment") else ["dataset", "encoder", "decoder", "variant"]
    overrides = job_overrides()
    given = dict(override.partition("=")[::2] for override in overrides)
    if "init_from" in given:  # which brings the parts that are left open
        named = [group for group in named if group not in PRETRAINED_PARTS or not is_left_open(group)]
    others = [group for group in given if group in choices and group not in (*named, SWEEP)]
    parts = [str(choices[group]) for group in [*named, *others]]
    return Path("runs") / "_".join([*parts, *filter(None, [override_dirname(overrides)])]).replace("/", "_")


def take_over(folder: Path, lock: RunLock) -> None:
    """Locks a run that is resumed, and sees to what a killed training has left. Raises SoliError where that is not enough to go on."""
    lock.take(folder)
    check_last(folder)
    remove_unfinished(folder)
    if not (folder / LAST).exists():
        print(f"No checkpoint was saved in {folder} yet: training begins at its start.")


def check_run_dir(folder: Path, features: str | None = None) -> None:
    """Raises SoliError for a folder that already holds a run, or anything but what a training may have left before it began.

    `features` is the folder of features.cache, if there is one.
    """
    check_new(folder)
    if not folder.is_dir():
        return
    cache = None if features is None else Path(features).resolve()
    others = [path for path in sorted(folder.iterdir()) if not _may_be_there(path.name) and not _leads_to(path, cache)]
    if others:
        shown = first_few([path.name + "/" * path.is_dir() for path in others])
        raise SoliError(
            f"{setting('run_dir', folder)} is no run folder, and not empty: it holds {shown}. "
            f"Give a folder that is new or empty, for example {setting('run_dir', folder / 'run')}."
        )


def _may_be_there(name: str) -> bool:
    return name.removesuffix(".partial") in OWN or any(fnmatchcase(name, pattern) for pattern in (*OUTPUT, *HIDDEN))


def _leads_to(path: Path, cache: Path | None) -> bool:
    """Whether the folder of features is this, or in it."""
    return cache is not None and cache.is_relative_to(path.resolve())
