"""BLEU-1..4, METEOR, ROUGE-L and CIDEr-D of captions, equal to pycocoevalcap's (the tests compare), on words cut in Python.

Only METEOR needs Java; without it the other metrics are still reported.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, lru_cache
from types import TracebackType
from typing import Any

import numpy as np

from soli.evaluation.meteor import Meteor, MeteorUnavailable
from soli.evaluation.ngrams import Gram, ReferenceNgrams, ngrams
from soli.evaluation.rouge import ReferenceWords
from soli.evaluation.spice import SpiceUnavailable, spice, spice_folder
from soli.evaluation.statistics import Statistics, unfragmented
from soli.interfaces import SoliError
from soli.spelling import kind_of, nearest
from soli.tokenization import tokenize

METRICS = ("BLEU", "METEOR", "ROUGE-L", "CIDEr")
WORD_METRICS = (*METRICS, "SPICE")
Row = Sequence[float]


def score_captions(hypotheses: Sequence[str], references: Sequence[Sequence[str]], metrics: Sequence[str] = METRICS) -> dict[str, float]:
    """Scores one caption per photograph, once. CaptionScorer says what it takes and gives, and is quicker for several sets of captions."""
    with CaptionScorer(references, metrics) as scorer:
        return scorer.score(hypotheses)


class CaptionScorer:
    """Scores sets of captions of the same photographs: the references are counted once, METEOR's process lives until `close`, and a caption
    that a photograph had before is not looked at again.

    `references`: the human captions of each photograph. `metrics`: some of BLEU, METEOR, ROUGE-L, CIDEr; BLEU stands for BLEU-1 to BLEU-4.
    Scores lie between 0 and 1, CIDEr between 0 and 10. CIDEr weighs words by how rare they are among the photographs scored; with a single
    photograph it is 0.

    charBLEU is no standard metric: BLEU-1 to BLEU-4 over *characters*, against each photograph's first reference only, which is how
    the figures of SOLI (arXiv 2512.08873) come about: strings were given to a function that takes lists of words. Nothing else compares.

    SPICE needs Java and files that pycocoevalcap does not carry (soli/evaluation/spice.py).

    A metric that cannot be computed on this machine is left out of the scores; `unavailable` then has a sentence for it, given as a warning
    too. Raises SoliError on unknown metrics, and on references that are not lists of captions, or are empty.
    """

    def __init__(self, references: Sequence[Sequence[str]], metrics: Sequence[str] = METRICS):
        self.metrics = check_metrics(metrics)
        self._references = [[tokenize(caption) for caption in captions] for captions in _lists_of_texts(references)]
        self._seen: dict[str, list[dict[str, Row]]] = {metric: [{} for _ in self._references] for metric in self.metrics}
        self.unavailable: dict[str, str] = {}
        self._meteor = Meteor()
        if "METEOR" in self.metrics:
            self._if_available(self._meteor.start, "METEOR")
        if "SPICE" in self.metrics:
            self._if_available(spice_folder, "SPICE")

    def score(self, hypotheses: Sequence[str]) -> dict[str, float]:
        """One caption per photograph, in the order of the references -> BLEU-1..4, METEOR, ROUGE-L, CIDEr, as far as they were asked for.

        A caption without words is no match for any. Raises SoliError when there are not as many captions as photographs.
        """
        return self.statistics(hypotheses).scores()

    def score_each(self, hypotheses: Sequence[str]) -> np.ndarray:
        """One caption per photograph -> the CIDEr of each (B,), float64, whose mean is the CIDEr of `score`."""
        return self._rows("CIDEr", _cut(hypotheses, len(self._references)))[:, 0]

    def statistics(self, hypotheses: Sequence[str]) -> Statistics:
        """One caption per photograph -> what each of them adds to the scores, as far as the metrics can be computed here."""
        captions = _cut(hypotheses, len(self._references))
        found = {metric: self._if_available(lambda metric=metric: self._rows(metric, captions), metric) for metric in self.metrics}
        return Statistics({metric: rows for metric, rows in found.items() if rows is not None})

    def close(self) -> None:
        """Ends METEOR's process; scoring again would start another."""
        self._meteor.close()

    def __enter__(self) -> CaptionScorer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _rows(self, metric: str, captions: list[str]) -> np.ndarray:
        """The metric's statistics of each photograph's caption, which is words joined by spaces: (B, F)."""
        compute: dict[str, Callable[[list[str], list[int]], list[Row]]] = {
            "BLEU": self._bleu,
            "METEOR": self._meteor_rows,
            "ROUGE-L": self._rouge,
            "CIDEr": self._cider,
            "SPICE": self._spice,
            "charBLEU": self._char_bleu,
        }
        seen = self._seen.setdefault(metric, [{} for _ in captions])
        new = [index for index, caption in enumerate(captions) if caption not in seen[index]]
        for index, row in zip(new, compute[metric](captions, new) if new else (), strict=True):
            seen[index][captions[index]] = row
        return np.array([seen[index][caption] for index, caption in enumerate(captions)], dtype=np.float64)

    def _bleu(self, captions: list[str], new: list[int]) -> list[Row]:
        return [self._ngrams.bleu(index, *_counted(captions[index])) for index in new]

    def _cider(self, captions: list[str], new: list[int]) -> list[Row]:
        return [[self._ngrams.cider(index, *_counted(captions[index]))] for index in new]

    def _rouge(self, captions: list[str], new: list[int]) -> list[Row]:
        return [[self._words[index].rouge(captions[index].split())] for index in new]

    def _char_bleu(self, captions: list[str], new: list[int]) -> list[Row]:
        return [self._characters.bleu(index, captions[index], ngrams(captions[index])) for index in new]

    def _meteor_rows(self, captions: list[str], new: list[int]) -> list[Row]:
        return unfragmented(self._meteor.statistics(*self._with_references(captions, new)))

    def _spice(self, captions: list[str], new: list[int]) -> list[Row]:
        return [[score] for score in spice(*self._with_references(captions, new))]

    def _with_references(self, captions: list[str], new: list[int]) -> tuple[list[str], list[list[str]]]:
        return [captions[index] for index in new], [[" ".join(words) for words in self._references[index]] for index in new]

    @cached_property
    def _ngrams(self) -> ReferenceNgrams:
        return ReferenceNgrams(self._references)

    @cached_property
    def _words(self) -> list[ReferenceWords]:
        return [ReferenceWords(captions) for captions in self._references]

    @cached_property
    def _characters(self) -> ReferenceNgrams:
        """Of each photograph's first reference only, whose characters stand for words."""
        return ReferenceNgrams([[" ".join(captions[0])] for captions in self._references])

    def _if_available(self, action: Callable[[], Any], metric: str) -> Any:
        """None once a metric has failed: it is not tried again, so that no table has it in some rows only because they came first."""
        if metric in self.unavailable:
            return None
        try:
            return action()
        except (MeteorUnavailable, SpiceUnavailable) as reason:
            self.unavailable[metric] = f"{metric} is not reported: {reason}"
            warnings.warn(self.unavailable[metric], stacklevel=4)
            return None


@lru_cache(maxsize=1 << 13)
def _counted(caption: str) -> tuple[list[str], Counter[Gram]]:
    """The words of a caption and its n-grams, which BLEU and CIDEr count alike."""
    words = caption.split()
    return words, ngrams(words)


def _cut(hypotheses: Sequence[str], number: int) -> list[str]:
    """Words joined by spaces. Raises SoliError when there are not as many captions as photographs."""
    captions = _texts(hypotheses, "hypotheses")
    if len(captions) != number:
        raise SoliError(
            f"{len(captions)} captions were given for {number} photographs: "
            "give one caption per photograph, in the order of the references."
        )
    return [" ".join(tokenize(caption)) for caption in captions]


def check_metrics(metrics: Sequence[str]) -> tuple[str, ...]:
    """The metrics, each once. Raises SoliError when it is no list of known ones."""
    if isinstance(metrics, str) or not isinstance(metrics, Iterable) or not metrics:
        raise SoliError(f"metrics is {metrics!r}: give a list of some of {', '.join(METRICS)}, for example ['CIDEr'].")
    for metric in metrics:
        if metric not in (*WORD_METRICS, "charBLEU"):
            raise SoliError(f"There is no metric {metric!r}{nearest(str(metric), WORD_METRICS)}: choose from {', '.join(WORD_METRICS)}.")
    return tuple(dict.fromkeys(metrics))


def _lists_of_texts(references: Sequence[Sequence[str]]) -> list[Sequence[str]]:
    if isinstance(references, str) or not isinstance(references, Sequence):
        raise SoliError(f"references is {kind_of(references)}: give a list with one list of captions per photograph.")
    if not references:
        raise SoliError("references is empty: there is no photograph to score.")
    lists = [_texts(captions, f"references[{index}]") for index, captions in enumerate(references)]
    for index, captions in enumerate(lists):
        if not captions:
            raise SoliError(f"references[{index}] is empty: every photograph needs at least one caption to be compared with.")
    return lists


def _texts(captions: Sequence[str], name: str) -> Sequence[str]:
    if isinstance(captions, str) or not isinstance(captions, Sequence):
        raise SoliError(f"{name} is {kind_of(captions)}: give a list of captions, [{captions!r}] if it is only one.")
    for index, caption in enumerate(captions):
        if not isinstance(caption, str):
            raise SoliError(f"{name}[{index}] is {caption!r}, {kind_of(caption)}: a caption is one string.")
    return captions
