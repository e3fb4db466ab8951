"""Figures of metrics.json made from captions and scores at each condition: drops, the area under a score, health of the captions."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from itertools import groupby, pairwise
from typing import Any

from soli.degradations import Blur, Degradation, Jpeg, Resize
from soli.tokenization import tokenize

INSIDE = ("side", "family", "signature")  # of a row, for programs: not in the tables that people read


def family(degradation: Degradation) -> str:
    """What kind of condition it is: original, S1 or S50 (resized in so many steps), blur, JPEG; mixed for several numbers of steps."""
    kinds = {type(operation) for operation in degradation.operations}
    steps = sorted({operation.steps for operation in degradation.operations if isinstance(operation, Resize)})
    if not kinds:
        return "original"
    if Jpeg in kinds:
        return "JPEG"
    if Blur in kinds:
        return "blur"
    return f"S{steps[0]}" if len(steps) == 1 else "mixed"


def side(pixels: tuple[int, int]) -> float:
    """The side of a square with as many pixels as (height, width)."""
    return math.sqrt(pixels[0] * pixels[1])


def relative_drop(scores: Mapping[str, Mapping[str, float]], name: str) -> dict[str, float]:
    """Which part of the original's score is lost at each condition; empty when there is no original, or it scores 0."""
    original = scores.get("original", {}).get(name, 0.0)
    return {condition: 1 - found[name] / original for condition, found in scores.items()} if original else {}


def area(rows: Sequence[Mapping[str, Any]], score: str) -> float | None:
    """The mean of a score over the logarithm of pixels, from the smallest to the largest: trapezoids between sizes.

    Only photographs as they are and resized ones count (blur and JPEG leave the number of pixels); scores at the same size are averaged
    first. None when there are not two sizes.
    """
    points = sorted((row["side"], row[score]) for row in rows if row["family"] == "original" or row["family"][0] == "S")
    by_size = [(size, [value for _, value in same]) for size, same in groupby(points, key=lambda point: point[0])]
    if len(by_size) < 2:
        return None
    curve = [(math.log(size), sum(values) / len(values)) for size, values in by_size]
    total = sum((right[0] - left[0]) * (left[1] + right[1]) / 2 for left, right in pairwise(curve))
    return total / (curve[-1][0] - curve[0][0])


def health(condition: str, captions: Sequence[str], known: Collection[str] | None) -> dict[str, Any]:
    """How varied captions are: `distinct` ones, words in one (`mean_length`) and in all (`words_used`), and the commonest caption.

    `unseen_words` is the share of their words that are not `known`, those of the training captions; None where these are not known.
    """
    words = [tokenize(caption) for caption in captions]
    everything = [word for of_one in words for word in of_one]
    (commonest, number), *_ = Counter(captions).most_common(1)
    return {
        "condition": condition,
        "distinct": len(set(captions)),
        "mean_length": len(everything) / len(captions),
        "words_used": len(set(everything)),
        "most_common": commonest,
        "most_common_share": number / len(captions),
        "unseen_words": None if known is None else share_of_unseen(everything, known),
    }


def share_of_unseen(words: Sequence[str], known: Collection[str]) -> float:
    return sum(word not in known for word in words) / len(words) if words else 0.0
