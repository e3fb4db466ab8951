"""Which folders may become run folders: new and empty ones, and those that hold only what a training has left as it began."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path

from soli.configuration.command_text import setting
from soli.interfaces import SoliError
from soli.runs import TOKENIZER, VOCABULARY, check_new
from soli.training.leftovers import UNFINISHED
from soli.training.lock import LOCK

OWN = (LOCK, *UNFINISHED, "data.json", "versions.json", "config.yaml", VOCABULARY, TOKENIZER)  # of one that was killed as it began
OUTPUT = ("*.log", "*log*.txt", "*.out", "*.err")  # into which a shell or a cluster writes what is printed
HIDDEN = (".hydra", ".submitit", ".gitkeep", ".gitignore", ".nfs*", ".DS_Store")
MAX_NAMED = 5


def check_run_dir(folder: Path, features: str | None = None) -> None:
    """Raises SoliError for a folder that already holds a run, or anything else; `features`: the folder of features.cache, if any."""
    check_new(folder)
    if not folder.is_dir():
        return
    cache = None if features is None else Path(features).resolve()
    others = [path for path in sorted(folder.iterdir()) if not _may_be_there(path.name) and not _leads_to(path, cache)]
    if others:
        shown = ", ".join(path.name + "/" * path.is_dir() for path in others[:MAX_NAMED])
        more = f" and {len(others) - MAX_NAMED} more" if len(others) > MAX_NAMED else ""
        raise SoliError(
            f"{setting('run_dir', folder)} is no run folder, and not empty: it holds {shown}{more}. "
            f"Give a folder that is new or empty, for example {setting('run_dir', folder / 'run')}."
        )


def _may_be_there(name: str) -> bool:
    return name.removesuffix(".partial") in OWN or any(fnmatchcase(name, pattern) for pattern in (*OUTPUT, *HIDDEN))


def _leads_to(path: Path, cache: Path | None) -> bool:
    """Whether the folder of features is this, or in it."""
    return cache is not None and cache.is_relative_to(path.resolve())
