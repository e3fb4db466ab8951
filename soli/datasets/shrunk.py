"""Whether photographs are copies that were shrunk before: ratios of conditions are of the originals, whose size the user then gives."""

from __future__ import annotations

import contextlib

from PIL import Image

from soli.interfaces import CaptionDataset

LONGER_SIDES = {"flickr8k": 500, "flickr30k": 500, "coco": 640}  # of most originals, in pixels
SAMPLE = 200  # photographs, whose sizes tell


def missing_reference_side(dataset: CaptionDataset) -> int | None:
    """The originals' longer side, where `dataset.reference_side` is not given and nearly none of a sample of the photographs has it."""
    longer_side = LONGER_SIDES.get(dataset.name)
    if longer_side is None or dataset.reference_side is not None:
        return None
    usual = usual_side(dataset)
    return longer_side if usual is not None and usual < 0.9 * longer_side else None


def usual_side(dataset: CaptionDataset) -> int | None:
    """The longer side in pixels that nine of ten of a sample of the photographs do not exceed; None where none can be read."""
    examples = [example for split in dataset.splits for example in dataset.examples(split)]
    sides = []
    for example in examples[:: max(1, len(examples) // SAMPLE)]:
        with contextlib.suppress(Exception), Image.open(example.path) as image:  # of Pillow: unreadable ones are named elsewhere
            sides.append(max(image.size))
    return sorted(sides)[len(sides) * 9 // 10] if sides else None


def about_shrunk(longer_side: int) -> str:
    """What a user is told of it, and what to do."""
    return (
        f"The photographs are smaller than the originals, whose longer side is {longer_side}: "
        f"give dataset.reference_side={longer_side}, so that ratios are those of the originals."
    )
