"""How a photograph of any size and aspect becomes the square input of an encoder: which part of it, and mirrored or not."""

from __future__ import annotations

import random
from dataclasses import dataclass

from soli.interfaces import SoliError

RESIZE_OVER_CROP = 256 / 224  # the classification networks' habit: shorter side to 256, crop 224


@dataclass(frozen=True)
class Frame:
    """Resize to (height, width), take the square of `size` pixels at (top, left), mirror it if `flip`.

    It is relative to the resized photograph, so that all views of one photograph see the same window, whatever their own sizes.
    """

    height: int
    width: int
    top: int
    left: int
    size: int
    flip: bool = False


@dataclass(frozen=True)
class Framing:
    """`crop`: shorter side to 8/7 of `size`, then a square crop (CNNs in SOLI). `squash`: both sides to `size`, no crop (ViT in SOLI)."""

    size: int
    mode: str = "crop"

    def __post_init__(self) -> None:
        if self.mode not in ("crop", "squash"):
            raise SoliError(f"encoder.framing={self.mode} is not known: choose crop or squash.")
        if self.size < 1:
            raise SoliError(f"encoder.input_size={self.size} must be at least 1 pixel.")

    def frame(self, height: int, width: int, generator: random.Random | None = None) -> Frame:
        """The frame of an original of this size: centred and not mirrored, or by `generator` a random crop and a random horizontal flip."""
        shorter = round(self.size * RESIZE_OVER_CROP)
        scale = shorter / min(height, width)
        resized = (self.size, self.size) if self.mode == "squash" else (max(shorter, round(height * scale)), max(shorter, round(width * scale)))
        spare = (resized[0] - self.size, resized[1] - self.size)
        if generator is None:
            return Frame(*resized, spare[0] // 2, spare[1] // 2, self.size)
        return Frame(*resized, generator.randint(0, spare[0]), generator.randint(0, spare[1]), self.size, generator.random() < 0.5)
