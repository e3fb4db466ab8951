"""What ends a training, or makes it useless: values that are not finite, embeddings that collapse, one caption for everything."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor, nn

from soli.interfaces import BrokenWeights, SoliError
from soli.printing import short

COLLAPSED = 0.1  # of the distance between different photographs at the start
MONOTONOUS = 0.5  # of the captions
LONG_ENOUGH = 40  # characters of a caption, to know it by


def stop_unless_finite(figures: Mapping[str, float], step: int, last: Path, scaled: bool = False) -> None:
    """Raises SoliError that names the first of the figures that is infinite or not a number.

    With `scaled` losses (fp16) a gradient norm may be: the scaler leaves such a step out and lowers the scale.
    """
    for name, value in figures.items():
        if not math.isfinite(value) and not (scaled and name == "gradient_norm"):
            kept = f"the last checkpoint is {last}" if last.exists() else "no checkpoint was saved yet"
            name = name.replace("_", " ")
            raise SoliError(
                f"The {name} is {value} at step {step}: training stops; {kept}. Try a new run with a lower optimizer.lr or clip_norm."
            )


def check_reached(model: nn.Module, phase: str) -> None:
    """Raises SoliError when the losses do not reach all parameters that are to train."""
    missed = [name for name, parameter in model.named_parameters() if parameter.requires_grad and parameter.grad is None]
    if missed:
        advice = "Give a loss that does a weight above 0, or leave them out of train"
        raise SoliError(f"variant.phases.{phase}: no loss reaches {len(missed)} of the weights it trains ({missed[0]}, ...). {advice}.")


def check_finite(embeddings: Mapping[str, Tensor]) -> None:
    """Raises BrokenWeights for embeddings, by condition, that are infinite or not numbers: the last step has broken the weights."""
    for condition, of_condition in embeddings.items():
        if not of_condition.isfinite().all():
            raise BrokenWeights(
                f"The embeddings at {condition} are not finite in this validation: training stops, for its weights are broken. "
                "Start a new run with a lower optimizer.lr, optimizer.weight_decay or optimizer.clip_norm."
            )


def collapse_warning(distance: float, at_start: float) -> str | None:
    """A sentence when different photographs lie less than a tenth as far apart as at the start of the phase."""
    if distance >= COLLAPSED * at_start:
        return None
    return (
        f"Warning: the embeddings collapse: different photographs lie {distance:.3g} apart, {at_start:.3g} at the start of the phase. "
        "Use siamese.anchor=frozen, negatives=in_batch, a larger contrastive.margin, or a lower weight of the contrastive loss."
    )


def caption_warning(captions: Sequence[str]) -> str | None:
    """A sentence when most captions are the same."""
    caption, count = Counter(captions).most_common(1)[0]
    if len(captions) < 4 or count <= MONOTONOUS * len(captions):
        return None
    sentence = short(caption, LONG_ENOUGH)
    looks = "The model hardly looks at the photographs, which is usual in the first epochs alone."
    return f"Warning: {count} of {len(captions)} captions are the same sentence: {sentence!r}. {looks}"
