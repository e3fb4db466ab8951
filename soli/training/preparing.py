"""What is seen to before the first step: whether steps have what their losses need, and what negatives are told of the training data."""

from __future__ import annotations

import math
from contextlib import nullcontext

from soli.datasets import CaptionedImages
from soli.interfaces import SoliError
from soli.training import processes
from soli.training.matching import Matching, keys_of_matching
from soli.training.schedule import has, matched_views
from soli.training.settings import Recipe
from soli.training.siamese import Siamese


def check_steps(
    recipe: Recipe, num_photographs: int, siamese: Siamese | None, num_processes: int, matching: Matching | None = None
) -> None:
    """Raises SoliError for what only the first step would show: too few photographs for it, or a term that does not work."""
    terms = {"contrastive": (siamese, "a Siamese"), "matching": (matching, "a Matching")}
    used = []
    for loss, (term, what) in terms.items():
        phases = [name for name, phase in recipe.phases.items() if has(phase, loss)]
        if phases and term is None:
            raise SoliError(f"variant.phases.{phases[0]} has a {loss} loss: give train {what}, that is a loss and its negatives.")
        used += [term] if phases else []
    if siamese in used and recipe.siamese.anchor == "auto":
        raise SoliError("siamese.anchor=auto is for the command, which knows where the weights come from: choose shared, frozen or ema.")
    for term in used:
        term.check()
    processes.check_shares(num_photographs, recipe.loader, num_processes, max([term.negatives.least for term in used], default=1))


def prepare_negatives(recipe: Recipe, data: CaptionedImages, siamese: Siamese | None, matching: Matching | None) -> None:
    """Tells negatives how many candidates there are, and for how many steps they are wanted. Raises SoliError for too few."""
    steps = math.ceil(len(data) / recipe.loader.batch_size)
    for loss, term in (("contrastive", siamese), ("matching", matching)):
        phases = [phase for phase in recipe.phases.values() if has(phase, loss)]
        if not phases or not hasattr(term.negatives, "prepare"):
            continue
        candidates = {"other": len(data), "anchor": len(data)}
        if loss == "matching":
            views = dict.fromkeys(view for phase in phases for view in matched_views(phase))
            candidates = matching.num_candidates(list(views), len(data), data.first_captions[-1])
        with keys_of_matching() if loss == "matching" else nullcontext():
            term.negatives.prepare(candidates, steps * sum(phase.epochs for phase in phases))
