"""Figures of SOLI (arXiv 2512.08873) to put beside ours, as far as they are known; none of them is a measurement of soli's.

Its BLEU-4 counts characters against one reference (charBLEU here); its ratios divide the distance to another photograph by the distance to
the worst copy, after training, on five photographs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PUBLISHED: tuple[dict[str, Any], ...] = (
    {"model": "SOLI: ResNet + attention LSTM, baseline", "charBLEU-4": 0.2055, "ratio": None},
    {"model": "SOLI: ResNet + attention LSTM, par", "charBLEU-4": 0.2181, "ratio": 1.26},
    {"model": "SOLI: ViT + GPT, baseline", "charBLEU-4": 0.6241, "ratio": None},
    {"model": "SOLI: ViT + GPT, par", "charBLEU-4": 0.6536, "ratio": 1.84},
)
CAUTION = (
    "The paper's figures are of its own split, decoding and text; only charBLEU-4 (characters, one reference) is of the same kind as its "
    "BLEU-4, and no standard BLEU-4 is near it: human captions have about 0.41 of this measure and about 0.20 of the standard one."
)


def beside_paper(ours: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows of a table: the paper's models, then `ours`, by name, each with charBLEU-4 at the original and the ratio of distances."""
    figures = [{"model": name, **{key: of_one.get(key) for key in ("charBLEU-4", "ratio")}} for name, of_one in ours.items()]
    return [*PUBLISHED, *figures]
