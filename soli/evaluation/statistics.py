"""What each photograph adds to the scores of a set of captions: from these sums come the scores of the set and of any resample of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

ALPHA, BETA, GAMMA, DELTA = 0.85, 0.2, 0.6, 0.75  # METEOR 1.5 for English (Denkowski and Lavie, 2014, table 1)
STAGES = np.array([1.0, 0.6, 0.8, 0.6])  # weights of its matches: exact, stem, synonym, paraphrase


@dataclass(frozen=True)
class Statistics:
    """`rows[metric]` (B, F) float64: what each of B photographs adds to the F sums of a metric."""

    rows: dict[str, np.ndarray]

    def scores(self) -> dict[str, float]:
        """BLEU-1..4, METEOR, ROUGE-L and CIDEr of the set, as far as there are rows for them."""
        if not self.rows:
            return {}
        counts = np.ones((1, len(next(iter(self.rows.values())))))
        return {name: float(values[0]) for name, values in self.resampled(counts).items()}

    def resampled(self, counts: np.ndarray) -> dict[str, np.ndarray]:
        """Scores (R,) of R sets in which photograph b occurs `counts[r, b]` times; counts (R, B)."""
        scores: dict[str, np.ndarray] = {}
        for metric, rows in self.rows.items():
            sums = counts @ rows
            if metric in FORMULAS:
                scores |= FORMULAS[metric](sums)
            else:
                scores[metric] = sums[:, 0] / counts.sum(1)
        return scores


def bleu(sums: np.ndarray) -> dict[str, np.ndarray]:
    """BLEU-1 to BLEU-4 (Papineni et al., 2002, section 2.3) of sums (R, 10), with pycocoevalcap's guards against 0 / 0."""
    correct, guessed, length, closest = sums[:, :4], sums[:, 4:8], sums[:, 8], sums[:, 9]
    precisions = (correct + 1e-15) / (guessed + 1e-9)
    ratio = (length + 1e-15) / (closest + 1e-9)
    brevity = np.exp(np.minimum(0, 1 - 1 / ratio))
    scores = np.exp(np.log(precisions).cumsum(1) / np.arange(1, 5)) * brevity[:, None]
    return {f"BLEU-{order}": scores[:, order - 1] for order in range(1, 5)}


def char_bleu(sums: np.ndarray) -> dict[str, np.ndarray]:
    return {f"char{name}": values for name, values in bleu(sums).items()}


def meteor(sums: np.ndarray) -> dict[str, np.ndarray]:
    """METEOR (Denkowski and Lavie, 2014, section 2) of sums (R, 23) of its statistics.

    These are lengths and function words of caption and reference; matches of each stage: content words of caption and of reference,
    function words of both; chunks; and matched words of both.
    """
    lengths, functions, chunks, matched = sums[:, 0:2], sums[:, 2:4], sums[:, 20], sums[:, 21:23]
    stages = np.einsum("rsk,s->rk", sums[:, 4:20].reshape(-1, 4, 4), STAGES)  # content of caption and reference, function of both
    weighted = DELTA * stages[:, :2] + (1 - DELTA) * stages[:, 2:]
    precision, recall = _ratio(weighted, DELTA * (lengths - functions) + (1 - DELTA) * functions).T
    mean = _ratio(precision * recall, ALPHA * precision + (1 - ALPHA) * recall)
    return {"METEOR": mean * (1 - GAMMA * _ratio(chunks, matched.mean(1)) ** BETA)}


def unfragmented(rows: np.ndarray) -> np.ndarray:
    """METEOR's statistics (B, 23) with no chunk where caption and reference match as wholes: these have no penalty for fragments."""
    whole = (rows[:, 20] == 1) & (rows[:, 21:23] == rows[:, 0:2]).all(1)
    rows[whole, 20] = 0
    return rows


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)


FORMULAS: dict[str, Callable[[np.ndarray], dict[str, np.ndarray]]] = {"BLEU": bleu, "METEOR": meteor, "charBLEU": char_bleu}
