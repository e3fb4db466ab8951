"""Which condition and which window each photograph is seen under: a function of (seed, image, epoch, view) and of nothing else."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from soli.degradations import Degradation, Frame, Framing


def randomness(*parts: object) -> random.Random:
    """A generator that depends on `parts` alone, equal on every machine and in every process."""
    return random.Random("/".join(str(part) for part in parts))


def draw_views(
    photographs: Sequence[Tensor],
    image_ids: Sequence[str],
    conditions: Sequence[Degradation],
    framing: Framing,
    seed: int,
    epoch: int,
    view: int = 0,
    flip: bool = True,
) -> tuple[list[Degradation], list[Frame]]:
    """A condition for each photograph (3, Hi, Wi), and its window, which all its views share; `flip` mirrors half of the photographs."""
    degradations = [randomness(seed, "condition", image, epoch, view).choice(conditions) for image in image_ids]
    frames = [
        framing.frame(*photograph.shape[1:], randomness(seed, "frame", image, epoch)) for photograph, image in zip(photographs, image_ids)
    ]
    return degradations, frames if flip else [replace(frame, flip=False) for frame in frames]
