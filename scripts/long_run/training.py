"""A training for scripts/long_run_check.py: python -m soli.train, and for `baseline` METEOR of the validation's captions besides."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import soli.jobs.train
from soli.evaluation import CaptionScorer
from soli.interfaces import CaptionDataset
from soli.model import Captioner
from soli.train import main
from soli.training.loop import Validate

PLAIN = soli.jobs.train.validation


def validation_with_meteor(model: Captioner, dataset: CaptionDataset, *rest: Any) -> Validate:
    """The command's own validation; its captions then go to METEOR's Java process, which lives as long as the training."""
    validate, examples = PLAIN(model, dataset, *rest), dataset.examples("val")
    scorer = CaptionScorer([example.captions for example in examples], ["METEOR"])

    def both(distance_at_start: float | None) -> Mapping[str, float]:
        captions = model.caption([dataset.read_image(example) for example in examples], num_beams=1)
        return {**validate(distance_at_start), **scorer.score(captions)}

    return both


if __name__ == "__main__":
    name = sys.argv.pop(1)
    if name == "baseline":
        soli.jobs.train.validation = validation_with_meteor
    main()
