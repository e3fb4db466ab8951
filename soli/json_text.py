"""JSON that others wrote: whatever is wrong with it is a ValueError, and what it claims to be is checked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def parse_json(text: str | bytes) -> Any:
    """The content of a JSON text. Raises ValueError (JSONDecodeError where a place is known) for what is none, or is nested too deep."""
    try:
        return json.loads(text)
    except RecursionError as reason:
        raise ValueError("it is nested too deep") from reason


def read_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file. Raises OSError, and ValueError for anything else."""
    found = parse_json(path.read_bytes())
    if not isinstance(found, dict):
        raise ValueError("it is no object")
    return found
