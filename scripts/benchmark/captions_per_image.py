"""How fast a step with five captions for each image trains, against encoding the image once for each caption: 8 images, one thread.

python scripts/benchmark/captions_per_image.py [--quick] [--output FILE]

ViT-Tiny/16 at 224 pixels, as configs/encoder/vit_tiny.yaml trains it, with a small GPT-2, and captions of 12 to 20 words. Ours encodes an
image once and decodes its five captions from that. The peer takes each image with each of its captions as a row of its own, as loaders of
(image, caption) pairs make them, and so encodes 40 images.

Weights, images and captions are random, dropout is off. Loss and gradients must agree before anything is timed. Prints a table and JSON:
medians and quartiles of wall time, and of CPU time, which other programs on the machine disturb less.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from captioners import SMALL_GPT2, VIT_TINY, build, random_captions, random_images
from timing import StepContest, measure_steps, read_arguments, report, speed_table
from torch import Tensor

from soli.losses import CaptionLoss
from soli.model import Captioner
from soli.version import __version__


def main() -> None:
    given = read_arguments(__doc__, quick="two repeats instead of seven")
    torch.set_num_threads(1)
    results = [measure_steps(contest("ViT-Tiny, small GPT-2", (*VIT_TINY, *SMALL_GPT2)), repeats=2 if given.quick else 7)]
    report(results, speed_table(results), {"soli": __version__, "torch": torch.__version__}, given.output, threads=1)


def contest(name: str, overrides: Sequence[str], num_images: int = 8, num_captions: int = 5, num_words: int = 2500) -> StepContest:
    model = build(overrides, num_words)
    images = random_images(model, num_images)
    tokens = random_captions(num_images, num_captions, num_words)
    pairs = images.repeat_interleave(num_captions, dim=0), tokens.flatten(0, 1).unsqueeze(1)
    return StepContest(name, model, num_images, lambda: caption_loss(model, images, tokens), lambda: caption_loss(model, *pairs))


def caption_loss(model: Captioner, images: Tensor, tokens: Tensor) -> Tensor:
    """Cross-entropy of the captions (N, C, T) of images (N, 3, S, S)."""
    output = model(images, tokens[..., :-1], embed=False, attend=False)
    return CaptionLoss(model.tokenizer.pad_id)(output.logits, tokens[..., 1:])


if __name__ == "__main__":
    main()
