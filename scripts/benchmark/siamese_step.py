"""How fast a step of SOLI-par trains, against four encoder passes with the same weights, loss and gradients: 8 pairs of views, one thread.

python scripts/benchmark/siamese_step.py [--quick] [--output FILE]

ViT-Tiny/16 at 224 pixels, as configs/encoder/vit_tiny.yaml trains it, with an attention LSTM of SOLI's sizes or a small GPT-2. Each
photograph has a caption of 12 to 20 words, learnt from both views; the anchor of the contrastive term is shared. Ours: one encoder pass
over both views serves both terms. The peer runs the encoder on the clean and on the degraded views for the captions, and again on both for
the embeddings, each pass with a graph of its own.

Weights, views and captions are random, dropout is off. Loss and gradients must agree before anything is timed. Prints a table and JSON:
medians and quartiles of wall time, and of CPU time, which other programs on the machine disturb less.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from captioners import ATTENTION_LSTM, SMALL_GPT2, VIT_TINY, build, random_captions, random_images
from timing import StepContest, measure_steps, read_arguments, report, speed_table
from torch import Tensor
from torch.nn import functional

from soli.losses import CaptionLoss, ContrastiveLoss
from soli.losses.contrastive import mean_distance
from soli.model import Captioner
from soli.negatives import InBatch
from soli.training.siamese import Siamese
from soli.version import __version__


def main() -> None:
    given = read_arguments(__doc__, quick="two repeats instead of seven")
    torch.set_num_threads(1)
    contests = (
        lambda: contest("ViT-Tiny, attention LSTM", (*VIT_TINY, *ATTENTION_LSTM)),
        lambda: contest("ViT-Tiny, small GPT-2", (*VIT_TINY, *SMALL_GPT2)),
    )
    results = [measure_steps(build_one(), repeats=2 if given.quick else 7) for build_one in contests]
    report(results, speed_table(results, "pairs/s"), {"soli": __version__, "torch": torch.__version__}, given.output, threads=1)


def contest(name: str, overrides: Sequence[str], num_pairs: int = 8, num_captions: int = 1, num_words: int = 2500) -> StepContest:
    model = build(overrides, num_words)
    clean = random_images(model, num_pairs)
    degraded = functional.interpolate(functional.avg_pool2d(clean, 8), scale_factor=8, mode="bilinear")
    views = torch.cat([clean, degraded])
    tokens = random_captions(num_pairs, num_captions, num_words).repeat(2, 1, 1)
    siamese = Siamese(ContrastiveLoss("auto", relative=True), InBatch())
    with torch.no_grad():
        siamese.loss.measure(mean_distance(model.projector(model.encoder(clean))))
    return StepContest(
        name, model, num_pairs, lambda: in_one_pass(model, siamese, views, tokens), lambda: in_four_passes(model, siamese, views, tokens)
    )


def in_one_pass(model: Captioner, siamese: Siamese, views: Tensor, tokens: Tensor) -> Tensor:
    """The sum of caption loss and contrastive loss (Eq. 8) of the clean, then the degraded views (2B, 3, S, S), captions (2B, C, T)."""
    output = model(views, tokens[..., :-1], attend=False)
    return CaptionLoss()(output.logits, tokens[..., 1:]) + contrast(siamese, *output.embeddings.chunk(2))


def in_four_passes(model: Captioner, siamese: Siamese, views: Tensor, tokens: Tensor) -> Tensor:
    """The same loss, term by term and view by view."""
    of_captions = [
        CaptionLoss()(model.decoder(model.encoder(view), captions[..., :-1]), captions[..., 1:])
        for view, captions in zip(views.chunk(2), tokens.chunk(2), strict=True)
    ]
    embeddings = [model.projector(model.encoder(view)) for view in views.chunk(2)]
    return sum(of_captions) / 2 + contrast(siamese, *embeddings)


def contrast(siamese: Siamese, anchor: Tensor, other: Tensor) -> Tensor:
    keys = torch.arange(len(anchor))
    return siamese(anchor, other, *siamese.pairs(anchor, other, keys, [], keys))


if __name__ == "__main__":
    main()
