"""A job of a command, one of several or alone: what was asked of it, how it ended, the part of a folder's name that its overrides make."""

from __future__ import annotations

import copy
import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict

from soli.configuration.folder import config_folder

LONGEST_NAME = 150  # file systems allow 255 bytes, and other parts of the name come before
SWEEP = "sweep"  # the group whose choices make several jobs of a command


class Job(NamedTuple):
    """One of the jobs of a sweep, counted from 0: its overrides, its config with Hydra's own section, and the overrides that tell it from
    the other jobs.
    """

    number: int
    overrides: list[str]
    config: DictConfig
    title: str

    @property
    def hydra_overrides(self) -> list[str]:
        """What Hydra itself was told."""
        return written_overrides(self.config, "hydra")

    @contextmanager
    def at_hand(self) -> Iterator[DictConfig]:
        """Its config as the command would see it; meanwhile it is the present job."""
        before = HydraConfig.instance().cfg
        HydraConfig.instance().set_config(self.config)
        try:
            own = copy.deepcopy(self.config)
            with open_dict(own):
                del own["hydra"]
            yield own
        finally:
            HydraConfig.instance().cfg = before


class Outcome(NamedTuple):
    """How a job ended: its exit code, and what it said when it failed."""

    code: int = 0
    message: str = ""


def written_overrides(config: DictConfig, of: Literal["hydra", "task"]) -> list[str]:
    """The overrides of Hydra or of the command itself in a config with Hydra's section, with what stands between ${ and } as it is."""
    found: Any = OmegaConf.to_container(config.hydra.overrides[of], resolve=False)
    return found


def job_overrides() -> list[str]:
    """The overrides of the present job, as given: `["encoder=tiny", "optimizer.lr=0.01"]`; none outside of a command."""
    return [str(override) for override in HydraConfig.get().overrides.task] if HydraConfig.initialized() else []


def job_choice(group: str) -> str | None:
    """What the present job's config has of a group, such as `experiment`; None of nothing, and outside of a command."""
    return HydraConfig.get().runtime.choices.get(group) or None if HydraConfig.initialized() else None


def job_number() -> int | None:
    """The number of the present job, from 0 on, if it is one of a sweep."""
    job = HydraConfig.get().job
    return None if OmegaConf.is_missing(job, "num") else job.num


def override_dirname(overrides: Sequence[str]) -> str:
    """The overrides that set values, sorted and joined into a text that may stand in a folder's name: `optimizer.lr-0.01_seed-1`.

    Choices of groups are left out, and so are run_dir, resume and dry_run. What a command line would need quotes for becomes a dash; a name
    that would grow too long is cut, and ends in a checksum and the seed.
    """
    values = dict(override.lstrip("+").partition("=")[::2] for override in overrides)
    kept = sorted(f"{key}-{value}" for key, value in values.items() if not is_group(key) and key not in ("run_dir", "resume", "dry_run"))
    name = re.sub(r"[^\w.-]+", "-", "_".join(kept)).strip("-")
    if len(name.encode()) <= LONGEST_NAME:
        return name
    end = hashlib.sha256(",".join(kept).encode()).hexdigest()[:8]
    if re.fullmatch(r"\d{1,9}", values.get("seed", "")):  # it tells apart what else is alike
        end += f"_seed-{values['seed']}"
    return f"{name.encode()[: LONGEST_NAME - 1 - len(end)].decode(errors='ignore')}-{end}"


def is_group(key: str) -> bool:
    """Whether a key chooses a yaml file."""
    return "." not in key and (config_folder() / key).is_dir()
