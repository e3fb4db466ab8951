"""Where a run's numbers come from besides its config and data: the machine, and the commit of the code in a checkout."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import torch

SECONDS = 20  # for an answer of git: a large tree on a slow disk


def machine(device: torch.device | None = None) -> dict[str, Any]:
    """What makes two runs of the same versions differ in the last bits: the processor's instructions, PyTorch's threads, the device, the
    number of processes."""
    return {
        "platform": platform.platform(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if device is not None and device.type == "cuda" else "cpu",
        "processes": int(os.environ.get("WORLD_SIZE", 1)),
    }


def code_commit(package: Path | None = None) -> dict[str, Any] | None:
    """`commit` (40 or 64 digits) of the checkout that the package's folder lies in, and `dirty`: whether it holds changes or new files.

    None where the code is not in a checkout of its own (a wheel, an archive, also when these lie within another repository), or git is not
    there, or does not answer (a damaged repository, one of another user). `dirty` is None where only that is not known.
    """
    root = (package or Path(__file__).parent).resolve().parent
    if not (root / ".git").exists() or not _is_project(root / "pyproject.toml"):
        return None
    place, commit = _git(root, "rev-parse", "--show-toplevel"), _git(root, "rev-parse", "--verify", "HEAD")
    is_ours = place is not None and Path(place.rstrip("\n")).resolve() == root and _git(root, "ls-files", "--", "soli/__init__.py")
    if not is_ours or commit is None or not re.fullmatch(r"[0-9a-f]{40,64}\n", commit):
        return None
    changes = _git(root, "status", "--porcelain")
    return {"commit": commit.strip(), "dirty": None if changes is None else bool(changes)}


def _is_project(path: Path) -> bool:
    """Whether this is our own pyproject.toml: a package may have been unpacked into another project's folder."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))["project"]["name"] == "soli"
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _git(root: Path, *command: str) -> str | None:
    """What git says of the repository at `root`, None where it fails; it looks at no other, and changes nothing there."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_") or name.startswith("GIT_CONFIG")}
    environment = {**kept, "GIT_CEILING_DIRECTORIES": str(root.parent), "GIT_OPTIONAL_LOCKS": "0"}  # those dropped name a hook's repository
    whole = ["git", "-C", str(root), "-c", "core.fsmonitor=false", *command]
    try:
        answer = subprocess.run(whole, stdin=subprocess.DEVNULL, capture_output=True, env=environment, timeout=SECONDS, check=True)
        return answer.stdout.decode("utf-8")
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
