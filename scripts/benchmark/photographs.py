"""Photographs with captions for benchmarks: a root of Flickr8k, or drawn ones that resemble it in shape, size of file and words."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
from PIL import Image

from soli.datasets.toy_scenes import draw_scene, sample_scene

SHAPES = ((500, 375), (500, 333), (375, 500), (500, 375))  # width x height in pixels: Flickr8k's most frequent ones
NUM_OTHERS = 8  # photographs for validation, and for the test split
NUM_CAPTIONS, NUM_WORDS = 5, 2500


def data_overrides(photographs: Path | None, folder: Path, num_train: int) -> list[str]:
    """Overrides of soli.train for `photographs`, a root of Flickr8k, or for `num_train` that are drawn into `folder`."""
    if photographs is not None:
        return ["dataset=flickr8k", f"dataset.root='{photographs}'"]
    draw_photographs(folder, num_train)
    return ["dataset=folder", f"dataset.root='{folder}'", "vocabulary.min_count=1"]


def draw_photographs(folder: Path, num_train: int) -> None:
    """A folder with JPEG files of about 120 kB, whose grain costs a decoder what that of photographs does, and captions.jsonl."""
    (folder / "images").mkdir(parents=True)
    splits = ["train"] * num_train + ["val"] * NUM_OTHERS + ["test"] * NUM_OTHERS
    lines = []
    for number, split in enumerate(splits):
        generator = random.Random(number)
        name = f"{number:05d}.jpg"
        draw(generator, SHAPES[number % len(SHAPES)]).save(folder / "images" / name, quality=90)
        lines.append(json.dumps({"image": name, "captions": [caption(generator) for _ in range(NUM_CAPTIONS)], "split": split}))
    (folder / "captions.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def draw(generator: random.Random, shape: tuple[int, int]) -> Image.Image:
    """A scene of the toy data, enlarged, under grain."""
    scene = Image.fromarray(draw_scene(sample_scene(generator), generator)).resize(shape, Image.Resampling.BICUBIC)
    grain = np.random.default_rng(generator.getrandbits(32)).normal(scale=12, size=(shape[1], shape[0], 1))
    return Image.fromarray(np.clip(np.asarray(scene) + grain, 0, 255).astype(np.uint8))


def caption(generator: random.Random) -> str:
    """Words at random, as many as in a human caption of Flickr8k: 11 on average, seldom more than 25."""
    number = max(3, round(generator.gammavariate(8, 1.4)))
    return " ".join(f"word{generator.randrange(NUM_WORDS)}" for _ in range(number))
