"""BLEU-1..4, METEOR, ROUGE-L and CIDEr-D of captions, computed by pycocoevalcap's own scorers on words cut in Python.

Only METEOR needs Java; without it the other metrics are still reported.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import cached_property
from types import TracebackType

import numpy as np
from pycocoevalcap.bleu.bleu_scorer import BleuScorer
from pycocoevalcap.cider.cider_scorer import CiderScorer, cook_test
from pycocoevalcap.rouge.rouge import Rouge

from soli.evaluation.meteor import Meteor, MeteorUnavailable
from soli.interfaces import SoliError
from soli.spelling import nearest
from soli.tokenization import tokenize

METRICS = ("BLEU", "METEOR", "ROUGE-L", "CIDEr")


def score_captions(hypotheses: Sequence[str], references: Sequence[Sequence[str]], metrics: Sequence[str] = METRICS) -> dict[str, float]:
    """Scores one caption per photograph, once. CaptionScorer says what it takes and gives, and is quicker for several sets of captions."""
    with CaptionScorer(references, metrics) as scorer:
        return scorer.score(hypotheses)


class CaptionScorer:
    """Scores sets of captions of the same photographs: the references are cut into words once, METEOR's process lives until `close`.

    `references`: the human captions of each photograph. `metrics`: some of BLEU, METEOR, ROUGE-L, CIDEr; BLEU stands for BLEU-1 to BLEU-4.
    Scores lie between 0 and 1, CIDEr between 0 and 10. CIDEr weighs words by how rare they are among the photographs scored; with a single
    photograph it is 0.

    A metric that cannot be computed on this machine is left out of the scores; `unavailable` then has a sentence for it, given as a warning
    too. Raises SoliError on unknown metrics, and on references that are not lists of captions, or are empty.
    """

    def __init__(self, references: Sequence[Sequence[str]], metrics: Sequence[str] = METRICS):
        self.metrics = _known(metrics)
        self._references = [[" ".join(tokenize(caption)) for caption in captions] for captions in _lists_of_texts(references)]
        self.unavailable: dict[str, str] = {}
        self._meteor = Meteor()
        if "METEOR" in self.metrics:
            self._try_meteor(self._meteor.start)

    def score(self, hypotheses: Sequence[str]) -> dict[str, float]:
        """One caption per photograph, in the order of the references -> BLEU-1..4, METEOR, ROUGE-L, CIDEr, as far as they were asked for.

        A caption without words is no match for any. Raises SoliError when there are not as many captions as photographs.
        """
        words = self._words(hypotheses)
        compute = {"BLEU": self._bleu, "METEOR": self._score_meteor, "ROUGE-L": self._rouge, "CIDEr": self._cider}
        scores: dict[str, float] = {}
        for metric in self.metrics:
            scores |= compute[metric](words)
        return scores

    def score_each(self, hypotheses: Sequence[str]) -> np.ndarray:
        """One caption per photograph -> the CIDEr of each (B,), float64, whose mean is the CIDEr of `score`."""
        return self._cider_of_each(self._words(hypotheses))

    def close(self) -> None:
        """Ends METEOR's process; scoring again would start another."""
        self._meteor.close()

    def __enter__(self) -> CaptionScorer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _words(self, hypotheses: Sequence[str]) -> list[str]:
        captions = _texts(hypotheses, "hypotheses")
        if len(captions) != len(self._references):
            raise SoliError(
                f"{len(captions)} captions were given for {len(self._references)} photographs: "
                "give one caption per photograph, in the order of the references."
            )
        return [" ".join(tokenize(caption)) for caption in captions]

    @cached_property
    def _bleu_scorer(self) -> BleuScorer:
        """The n-grams of the references, counted once."""
        scorer = BleuScorer(n=4)
        for captions in self._references:
            scorer.cook_append(None, captions)
        return scorer

    @cached_property
    def _cider_scorer(self) -> CiderScorer:
        """The n-grams of the references and how many photographs have each, counted once."""
        scorer = CiderScorer(n=4, sigma=6.0)
        for captions in self._references:
            scorer.cook_append(None, captions)
        scorer.compute_doc_freq()
        return scorer

    def _bleu(self, words: list[str]) -> dict[str, float]:
        values, _ = self._bleu_scorer.retest(words).compute_score(option="closest", verbose=0)
        return {f"BLEU-{order}": float(value) for order, value in enumerate(values, start=1)}

    def _rouge(self, words: list[str]) -> dict[str, float]:
        pairs = zip(words, self._references, strict=True)  # two captions without words would be a match to theirs
        values = [Rouge().calc_score([caption], captions) if caption else 0.0 for caption, captions in pairs]
        return {"ROUGE-L": float(np.mean(values))}

    def _cider(self, words: list[str]) -> dict[str, float]:
        return {"CIDEr": float(self._cider_of_each(words).mean())}

    def _cider_of_each(self, words: list[str]) -> np.ndarray:
        self._cider_scorer.ctest = [cook_test(caption) for caption in words]
        return np.array(self._cider_scorer.compute_cider(), dtype=np.float64)

    def _score_meteor(self, words: list[str]) -> dict[str, float]:
        value = self._try_meteor(lambda: self._meteor.score(words, self._references))
        return {} if value is None else {"METEOR": value}

    def _try_meteor(self, action: Callable[[], float | None]) -> float | None:
        """None once METEOR has failed: it is not tried again, so that no table has it in some rows only because they came first."""
        if "METEOR" in self.unavailable:
            return None
        try:
            return action()
        except MeteorUnavailable as reason:
            self.unavailable["METEOR"] = f"METEOR is not reported: {reason}"
            warnings.warn(self.unavailable["METEOR"], stacklevel=3)
            return None


def _known(metrics: Sequence[str]) -> tuple[str, ...]:
    if isinstance(metrics, str) or not metrics:
        raise SoliError(f"metrics is {metrics!r}: give a list of some of {', '.join(METRICS)}, for example ['CIDEr'].")
    for metric in metrics:
        if metric not in METRICS:
            raise SoliError(f"There is no metric {metric!r}{nearest(str(metric), METRICS)}: choose from {', '.join(METRICS)}.")
    return tuple(dict.fromkeys(metrics))


def _lists_of_texts(references: Sequence[Sequence[str]]) -> list[Sequence[str]]:
    if isinstance(references, str) or not isinstance(references, Sequence):
        raise SoliError(f"references is a {type(references).__name__}: give a list with one list of captions per photograph.")
    if not references:
        raise SoliError("references is empty: there is no photograph to score.")
    lists = [_texts(captions, f"references[{index}]") for index, captions in enumerate(references)]
    for index, captions in enumerate(lists):
        if not captions:
            raise SoliError(f"references[{index}] is empty: every photograph needs at least one caption to be compared with.")
    return lists


def _texts(captions: Sequence[str], name: str) -> Sequence[str]:
    if isinstance(captions, str) or not isinstance(captions, Sequence):
        raise SoliError(f"{name} is a {type(captions).__name__}: give a list of captions, [{captions!r}] if it is only one.")
    for index, caption in enumerate(captions):
        if not isinstance(caption, str):
            raise SoliError(f"{name}[{index}] is {caption!r}, of type {type(caption).__name__}: a caption is one string.")
    return captions
