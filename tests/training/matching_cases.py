"""Small trainings with memories and joint spaces, by name; `python -m tests.training.matching_cases <folder>` runs all of them.

Under torchrun that is the test of two processes: one start for all cases.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

from soli.negatives import Hardest
from soli.training.settings import FeatureSettings, LoaderSettings, SpectralSettings
from tests.training.small_runs import (
    PLAIN,
    make_matching_model,
    make_model,
    make_recipe,
    matching,
    run,
    small_adversarial,
    small_clustered,
    unequal_data,
    variant_phases,
)

CONTRASTIVE = {"hardest": Hardest, "clustered": small_clustered, "adversarial": small_adversarial}
TERMS = {
    "vse_plus_plus": partial(matching, "vse_plus_plus"),
    "vse_plus_plus, two captions": partial(matching, "vse_plus_plus", num_captions=2),
    "ace": partial(matching, "ace"),
    "cmns, one caption": partial(matching, "cmns", num_captions=1),
    "ace, siblings": partial(matching, "ace", siblings="negatives"),
    "par_matching": partial(matching, "cmns"),
    "kept features": partial(matching, "ace"),
}
CASES = (*TERMS, *CONTRASTIVE, "spectral")


def phases_of(case, epochs=2):
    """The encoder trains in all of them, as it is what the terms share, but in the one whose features are kept."""
    if case in CONTRASTIVE or case == "spectral":
        (phase,) = variant_phases("par", epochs).values()
        losses = {"contrastive": 0.1, "caption": 1.0, "spectral": 0.1 if case == "spectral" else 0.0}
    elif case == "par_matching":
        (phase,) = variant_phases("par_matching", epochs).values()
        losses = {**phase.losses, "contrastive": 0.1, "spectral": 0.1}
    else:
        (phase,) = variant_phases("vse", epochs).values()
        losses, encoder = {"matching": 1.0}, 0.0 if case == "kept features" else 1.0
        phase = replace(phase, train={"encoder": encoder, "matcher": 1.0}, views={"clean": ["original", "R0.5S1"]})
    return {"only": replace(phase, losses=losses)}


def train_case(case, folder, data, resume=False, accumulation=1, **changes):
    """Trains a case into `folder`, and returns the weights. Steps of 6 and 5 photographs, which have one to five captions."""
    term = TERMS[case]() if case in TERMS else None
    make = make_model if term is None else make_matching_model
    cache = str(folder.parent / "cache") if case == "kept features" else None
    defaults = {"spectral": SpectralSettings(warmup_epochs=2), "optimizer": PLAIN, "features": FeatureSettings(cache, "float32")}
    defaults["seed"] = 1 if case == "par_matching" else 0  # with 0 two clusters are as near as rounding: parts then choose differently
    recipe = make_recipe(phases_of(case), loader=LoaderSettings(batch_size=6, accumulation=accumulation), **{**defaults, **changes})
    negatives = CONTRASTIVE.get(case, small_adversarial if case == "par_matching" else Hardest)()
    return run(recipe, folder, make(data.tokenizer, dropout=0.0), data, resume, term, negatives=negatives)


if __name__ == "__main__":
    for number, name in enumerate(CASES):
        train_case(name, Path(sys.argv[1]) / str(number), unequal_data())
