"""What a run that is resumed must share with the one that was stopped: its settings and its captions, written into each checkpoint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from soli.datasets import CaptionedImages
from soli.interfaces import SoliError
from soli.model import Captioner
from soli.printing import first_few, short
from soli.training.matching import Matching
from soli.training.settings import Recipe
from soli.training.siamese import Siamese


def settings_of(
    recipe: Recipe,
    data: CaptionedImages,
    model: Captioner,
    siamese: Siamese | None,
    matching: Matching | None = None,
) -> dict[str, Any]:
    """What a resumed run must share with the one that was stopped, by dotted key: the recipe (not where and how fast), the captions."""
    used = {loss for phase in recipe.phases.values() for loss, weight in phase.losses.items() if weight}
    unused = {"runtime", "logging"} | {"matching", "spectral"} - used
    sections = {name: value for name, value in asdict(recipe).items() if name not in unused}
    parts = {"embedding": model.projector} | ({"contrastive": siamese.loss, "negatives": siamese.negatives} if siamese else {})
    if matching is not None and "matching" in used:
        parts |= {"matching.loss": matching.loss, "matching.negatives": matching.negatives}
    sections["features"] = recipe.features.dtype if recipe.features.cache else None  # where they are does not matter
    for section, part in parts.items():
        plain = {
            name: value for name, value in vars(part).items() if isinstance(value, (bool, int, float, str, tuple, list)) and name[0] != "_"
        }
        sections[section] = {"kind": type(part).__name__, **{name: value for name, value in plain.items() if name != "training"}}
    captions = json.dumps([[example.image_id, example.captions] for example in data.examples])
    return {**dict(_flat(sections)), "dataset": f"captions {hashlib.sha256(captions.encode()).hexdigest()[:16]}"}


def check_settings(path: Path, written: Mapping[str, Any] | None, settings: Mapping[str, Any]) -> None:
    """Raises SoliError that names what differs between the settings of a checkpoint and those that it is to go on with."""
    written = written or {}
    absent = "absent"
    differing = [
        f"{short(key)} was {short(written.get(key, absent))}, is {settings.get(key, absent)}"
        for key in sorted(written.keys() | settings.keys())
        if written.get(key) != settings.get(key)
    ]
    if differing:
        shown = first_few(differing, between="; ")
        raise SoliError(f"{path} was written with other settings: {shown}. Restore them to resume, or start a new run.")


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if not isinstance(value, Mapping) or not value:
        yield prefix, value
        return
    for name, item in value.items():
        yield from _flat(item, f"{prefix}.{name}" if prefix else name)
