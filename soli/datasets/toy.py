"""The toy data: pictures that our own code draws, with captions that describe them. No download, no files, the same on every machine."""

from __future__ import annotations

import hashlib
import random
from collections import OrderedDict
from functools import cached_property

import numpy as np

from soli.datasets.toy_captions import describe
from soli.datasets.toy_scenes import Scene, draw_scene, sample_scene
from soli.interfaces import Example, SoliError

CACHED_PICTURES = 4096  # 27 kB each


class ToyDataset:
    """One to three coloured, textured shapes in a relation, 96 x 96 pixels, with five captions each.

    Picture and captions are a function of (seed, split, position in the split) only: a larger split begins with the smaller one's pictures.

    Args:
        root: no folder is read; anything but None is refused.
        limit: only the first so many pictures of each split.
        reference_side: the longer side of the originals in pixels; None: the pictures are the originals.
        seed: another seed draws other pictures.
        num_train, num_val, num_test: pictures in the splits.

    Raises:
        SoliError: a root, a negative number, or a limit below 1.
    """

    name = "toy"

    def __init__(
        self,
        root: str | None = None,
        limit: int | None = None,
        reference_side: int | None = None,
        seed: int = 0,
        num_train: int = 2000,
        num_val: int = 200,
        num_test: int = 200,
    ) -> None:
        if root is not None:
            raise SoliError(f"The toy data are drawn, not read, but dataset.root is {root!r}: leave it null, or choose another dataset.")
        if limit is not None and limit < 1:
            raise SoliError(f"dataset.limit is {limit}: give a number of photographs per split from 1 on, or null for all.")
        self.reference_side, self.seed = reference_side, seed
        self.sizes = {"train": num_train, "val": num_val, "test": num_test}
        for split, size in self.sizes.items():
            if size < 0:
                raise SoliError(f"dataset.num_{split} is {size}: give a number of pictures from 0 on.")
        if limit is not None:
            self.sizes = {split: min(limit, size) for split, size in self.sizes.items()}
        self.notices: list[str] = []
        self._pictures: OrderedDict[str, np.ndarray] = OrderedDict()

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(split for split, size in self.sizes.items() if size)

    @cached_property
    def _examples(self) -> dict[str, list[Example]]:
        return {split: [self._example(f"{split}-{position:05d}") for position in range(self.sizes[split])] for split in self.splits}

    def examples(self, split: str) -> list[Example]:
        """The pictures of a split with their captions. Raises SoliError for a split that does not exist or is empty."""
        if split not in self.splits:
            raise SoliError(f"The toy data have no pictures in the split {split!r}; the splits are {', '.join(self.splits)}.")
        return self._examples[split]

    def read_image(self, example: Example) -> np.ndarray:
        """The picture, uint8 (96, 96, 3)."""
        if example.image_id in self._pictures:
            self._pictures.move_to_end(example.image_id)
        else:
            self._pictures[example.image_id] = draw_scene(self.scene(example.image_id), self._generator(example.image_id, "drawing"))
            if len(self._pictures) > CACHED_PICTURES:
                self._pictures.popitem(last=False)
        return self._pictures[example.image_id].copy()

    def fingerprint(self, example: Example) -> str:
        """The SHA-256 of the picture's pixels."""
        return hashlib.sha256(self.read_image(example).tobytes()).hexdigest()

    def scene(self, image_id: str) -> Scene:
        """What the picture of this name shows."""
        return sample_scene(self._generator(image_id, "scene"))

    def _example(self, image_id: str) -> Example:
        return Example(image_id, describe(self.scene(image_id), self._generator(image_id, "captions")))

    def _generator(self, image_id: str, purpose: str) -> random.Random:
        return random.Random(f"{self.seed} {image_id} {purpose}")
