"""How a photograph becomes an encoder's input (SOLI, arXiv 2512.08873), and the one product that degrades and frames a batch of views."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from soli.degradations.degradation import Degradation
from soli.degradations.sampling import Axis, sample
from soli.interfaces import SoliError

FRAMINGS = ("crop", "squash")


@dataclass(frozen=True)
class Frame:
    """A window on a photograph resized to (height, width): `size` pixels square from (top, left), then mirrored if `flip`.

    It is counted in pixels of the resized photograph, so copies of any resolution are framed alike.
    """

    height: int
    width: int
    top: int
    left: int
    size: int
    flip: bool = False


@dataclass(frozen=True)
class Framing:
    """`size`: the encoder's input, in pixels. "crop": shorter side to size * 256/224, then a square of it; "squash": all of it, square."""

    size: int
    mode: Literal["crop", "squash"] = "crop"

    def __post_init__(self) -> None:
        if self.mode not in FRAMINGS:
            raise SoliError(f"unknown framing {self.mode!r}; allowed are {', '.join(map(repr, FRAMINGS))}")
        if self.size < 1:
            raise SoliError(f"the size of a frame is {self.size!r}; give one pixel or more, such as 224")

    def frame(self, height: int, width: int, generator: random.Random | None = None) -> Frame:
        """The frame of a photograph of (height, width) pixels, the original's, whatever the resolution of the copy it is used on.

        With a generator: a random window, mirrored with probability 1/2; without one: the centre, not mirrored.
        """
        resized_height, resized_width = self._resized(height, width)
        room_above, room_left = resized_height - self.size, resized_width - self.size
        if generator is None:
            return Frame(resized_height, resized_width, round(room_above / 2), round(room_left / 2), self.size)
        top, left = generator.randint(0, room_above), generator.randint(0, room_left)
        return Frame(resized_height, resized_width, top, left, self.size, generator.random() < 0.5)

    def _resized(self, height: int, width: int) -> tuple[int, int]:
        if self.mode == "squash":
            return self.size, self.size
        shorter = round(self.size * 256 / 224)
        return shorter * height // min(height, width), shorter * width // min(height, width)


def render(
    images: Sequence[Tensor], degradations: Sequence[Degradation], frames: Sequence[Frame], device: torch.device | str | None = None
) -> Tensor:
    """N photographs, uint8 (3, Hi, Wi), each degraded by its own condition and seen through its own frame: (N, 3, S, S) float32 in [0, 1].

    Degradation, resize, crop and flip are one matrix per axis. The resize to the frame antialiases where it shrinks, as
    torchvision's antialias=True does; the degradation never does. `device`: where the products are computed, the images' own by default.
    """
    if not len(images) == len(degradations) == len(frames) > 0:
        raise SoliError(f"render takes as many images as degradations and frames: {len(images)}, {len(degradations)}, {len(frames)}")
    prepared = [degradation.prepare(image) for image, degradation in zip(images, degradations, strict=True)]
    device = images[0].device if device is None else torch.device(device)
    prepared = [(image.to(device, non_blocking=True), *plans) for image, *plans in prepared]
    reduced, rows, columns = zip(*prepared, strict=True)
    vertical = [Axis(plan, frame.height, frame.top, frame.top + frame.size) for plan, frame in zip(rows, frames, strict=True)]
    horizontal = [
        Axis(plan, frame.width, frame.left, frame.left + frame.size, frame.flip) for plan, frame in zip(columns, frames, strict=True)
    ]
    return sample(reduced, vertical, horizontal, antialias=True)
