"""The config.yaml of a run folder, perhaps a stranger's: plain values, of which nothing is computed, looked up or called."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf

from soli.configuration.kinds import show
from soli.interfaces import SoliError

MOST_BYTES = 300_000  # a run's own is below 10,000
MOST_NESTED = 50


def read_written(path: Path) -> Any:
    """What a yaml file holds. Raises OSError, and ValueError or errors of yaml for what is damaged.

    References (`${oc.env:HOME}` would read the environment), yaml's aliases (a few lines can stand for gigabytes), missing values (???) and
    deep nesting are SoliErrors: soli writes none.
    """
    if path.stat().st_size > MOST_BYTES:
        raise SoliError(f"it has {path.stat().st_size:,} bytes, and no run's config has more than {MOST_BYTES:,}")
    text = path.read_text(encoding="utf-8")
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent):
            raise SoliError(f"it has an alias, *{event.anchor}, where only plain values may be")
        if depth > MOST_NESTED:
            raise SoliError(f"it is nested more than {MOST_NESTED} deep")
    found = OmegaConf.to_container(OmegaConf.create(text), resolve=False)
    for key, value in _texts(found):
        if "${" in value or value == "???":
            raise SoliError(f"{key or 'it'} is {show(value)}, where only plain values may be")
    return found


def _texts(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Every text with its dotted key, keys among them."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, dict | list):
        for name, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _texts(name, key)
            yield from _texts(item, f"{key}.{name}" if key else str(name))
