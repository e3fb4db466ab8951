"""Which metrics a name stands for, and what their signature says of them."""

from __future__ import annotations

from collections.abc import Sequence

from soli.evaluation.caption_metrics import METRICS, check_metrics
from soli.interfaces import SoliError
from soli.spelling import nearest

RETRIEVAL = ("retrieval",)  # of captions by photographs and the other way round: nothing is generated
PRESETS = {"standard": METRICS, "soli_paper": ("charBLEU",), "retrieval": RETRIEVAL}
HEADLINES = ("CIDEr", "BLEU-4", "charBLEU-4", "ROUGE-L", "METEOR", "SPICE")  # the first that is there is the one for curves and drops


def chosen_metrics(given: str | Sequence[str]) -> tuple[str, ...]:
    """The metrics of a preset, or of a list of names. Raises SoliError for unknown ones, and for charBLEU or retrieval among others.

    `soli_paper` is charBLEU, how the figures of SOLI (arXiv 2512.08873) come about; it stands alone, so that no table mixes the two levels.
    """
    if isinstance(given, str):
        if given not in PRESETS:
            raise SoliError(
                f"metrics={given} is no preset{nearest(given, PRESETS)}: choose one of {', '.join(PRESETS)}, or give a list, "
                f"such as metrics=[{METRICS[0]},{METRICS[-1]}]."
            )
        return PRESETS[given]
    if "retrieval" in given:
        raise SoliError("metrics: retrieval scores no captions, the others do; it stands alone, as metrics=retrieval.")
    metrics = check_metrics(given)
    if "charBLEU" in metrics and len(metrics) > 1:
        raise SoliError("metrics: charBLEU counts characters, the others words; it stands alone, as metrics=soli_paper.")
    return metrics


def measured_as(metrics: Sequence[str], references: Sequence[int]) -> dict[str, object]:
    """Entries of the signature: the level of the n-grams, how many references a photograph has, and that nothing is smoothed.

    `references`: how many captions each photograph has.
    """
    if "charBLEU" in metrics:
        return {"level": "char", "refs": "1(first)", "smooth": "none"}
    fewest, most = min(references), max(references)
    return {"level": "word", "refs": fewest if fewest == most else f"{fewest}-{most}", "smooth": "none"}


def headline(scores: Sequence[str]) -> str | None:
    """The score that curves and drops are of, among these names."""
    return next((name for name in HEADLINES if name in scores), None)
