"""Which conditions and which window each photograph is seen under: a function of (seed, image, epoch, view) and of nothing else."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from soli.degradations import Degradation, Frame, Framing, parse


def randomness(*parts: object) -> random.Random:
    """A generator that depends on `parts` alone, equal on every machine and in every process."""
    return random.Random("/".join(str(part) for part in parts))


@dataclass(frozen=True)
class View:
    """A view of every photograph: the conditions that it is drawn from, with their weights."""

    degradations: tuple[Degradation, ...]
    weights: tuple[float, ...]

    @classmethod
    def parse(cls, conditions: Sequence[str] | Mapping[str, float], mode: str, reference_side: int | None) -> View:
        """From the names of conditions, or a mapping of names to weights (0: absent). Raises SoliError for a name that does not parse."""
        weights = conditions if isinstance(conditions, Mapping) else dict.fromkeys(conditions, 1.0)
        present = {name: weight for name, weight in weights.items() if weight > 0}
        return cls(tuple(parse(name, mode, reference_side) for name in present), tuple(present.values()))

    def draw(self, generator: random.Random, seen: Sequence[Degradation]) -> Degradation:
        """A condition, and none of those `seen` in other views as long as there is another."""
        weights = [0.0 if degradation in seen else weight for degradation, weight in zip(self.degradations, self.weights)]
        return generator.choices(self.degradations, weights if any(weights) else self.weights)[0]


def draw_views(views: Sequence[View], image_ids: Sequence[str], seed: int, epoch: int) -> list[list[Degradation]]:
    """A condition for each view of each photograph: V lists of B. The views of a photograph differ where they can."""
    drawn: list[list[Degradation]] = [[] for _ in views]
    for image in image_ids:
        seen: list[Degradation] = []
        for number, view in enumerate(views):
            seen.append(view.draw(randomness(seed, "condition", image, epoch, number), seen))
            drawn[number].append(seen[-1])
    return drawn


def draw_frames(
    photographs: Sequence[Tensor], image_ids: Sequence[str], framing: Framing, seed: int, epoch: int, flip: bool = True
) -> list[Frame]:
    """The window of each photograph (3, Hi, Wi), which all its views share; `flip` mirrors half of the photographs."""
    frames = [
        framing.frame(*photograph.shape[1:], randomness(seed, "frame", image, epoch)) for photograph, image in zip(photographs, image_ids)
    ]
    return frames if flip else [replace(frame, flip=False) for frame in frames]


def draw_captions(number: int, wanted: int | None, seed: int, image_id: str, epoch: int) -> list[int]:
    """Which of a photograph's `number` captions an epoch takes for matching, in their order; `wanted` None: all."""
    if wanted is None or number <= wanted:
        return list(range(number))
    return sorted(randomness(seed, "captions", image_id, epoch).sample(range(number), wanted))
