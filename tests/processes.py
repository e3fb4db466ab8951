"""Whether processes that a test knows by their numbers are still there, and programs that import one file without its whole package."""

from __future__ import annotations

import os
import time
from pathlib import Path

SOLI = Path(__file__).resolve().parents[1]
HAS_PROC = Path("/proc/self/stat").exists()
# The beginning of a program that then imports from soli.evaluation.<file>, and not, for seconds, what its package has besides.
LIGHT = f"""
import sys, types
sys.path.insert(0, {str(SOLI)!r})
sys.modules["soli.evaluation"] = types.ModuleType("soli.evaluation")
sys.modules["soli.evaluation"].__path__ = [{str(SOLI / "soli" / "evaluation")!r}]
"""


def is_alive(pid: int) -> bool:
    """Whether the process runs. One that has ended, and that nobody has asked for its exit code, does not, where there is a /proc."""
    try:
        os.kill(pid, 0)
        return not HAS_PROC or Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except PermissionError:
        return True
    except OSError:
        return False


def is_known(pid: int) -> bool:
    """Whether the system still knows the number: of a process that runs, or that has ended and was not asked for its exit code."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def ends(*pids: int, seconds: float = 60.0) -> bool:
    """Whether all of the processes end in time."""
    deadline = time.monotonic() + seconds
    while any(map(is_alive, pids)):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
