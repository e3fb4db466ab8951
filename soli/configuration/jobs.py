"""What was asked of the job that is running: its overrides, and the part of a folder's name that they make."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from hydra.core.hydra_config import HydraConfig

from soli.configuration.folder import config_folder

LONGEST_NAME = 150  # file systems allow 255 bytes, and other parts of the name come before


def job_overrides() -> list[str]:
    """The overrides of the present job, as given: `["encoder=tiny", "optimizer.lr=0.01"]`."""
    return [str(override) for override in HydraConfig.get().overrides.task]


def override_dirname(overrides: Sequence[str]) -> str:
    """The overrides that set values, sorted and joined into a text that may stand in a folder's name: `optimizer.lr-0.01_seed-1`.

    Choices of groups are left out, and so are run_dir and resume. What a command line would need quotes for becomes a dash; a name that
    would grow too long ends in a checksum instead.
    """
    values = dict(override.lstrip("+").partition("=")[::2] for override in overrides)
    kept = sorted(f"{key}-{value}" for key, value in values.items() if not _is_group(key) and key not in ("run_dir", "resume"))
    name = re.sub(r"[^\w.-]+", "-", "_".join(kept)).strip("-")
    if len(name.encode()) <= LONGEST_NAME:
        return name
    checksum = hashlib.sha256(",".join(kept).encode()).hexdigest()[:8]
    return f"{name.encode()[: LONGEST_NAME - 9].decode(errors='ignore')}-{checksum}"


def _is_group(key: str) -> bool:
    return "." not in key and (config_folder() / key).is_dir()
