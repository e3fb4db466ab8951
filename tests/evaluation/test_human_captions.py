"""Scores of human captions and of ones like a model's, on the 1,000 test photographs of Flickr8k: known figures, and pycocoevalcap's."""

import contextlib
import io
import os
import random
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pycocoevalcap.tokenizer.ptbtokenizer as java_tokenizer
import pytest
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.meteor.meteor import Meteor
from pycocoevalcap.rouge.rouge import Rouge

from soli.evaluation import CaptionScorer

WITHOUT_JAVA = ("BLEU", "ROUGE-L", "CIDEr")
NAMES = ("BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L", "CIDEr", "METEOR")
KNOWN = {  # one caption of each photograph against its other four
    "longest": dict(zip(NAMES, (0.552, 0.376, 0.250, 0.165, 0.469, 0.664, 0.271), strict=True)),
    "first": {"BLEU-4": 0.2095, "ROUGE-L": 0.4875, "CIDEr": 0.7886, "METEOR": 0.2500},
}
TOLERANCES = {"longest": 0.0015, "first": 0.0001}
GENERIC = ("a dog", "a man in a red shirt", "a man is standing in front of a crowd", "two dogs are playing in the grass", "people")
Captions = list[str]
References = list[list[str]]
Pair = tuple[Captions, References]


@pytest.fixture(scope="module")
def sets(human_captions) -> dict[str, Pair]:
    return {
        "longest": against_the_others(human_captions, [max(range(5), key=lambda place: len(five[place])) for five in human_captions]),
        "first": against_the_others(human_captions, [0] * len(human_captions)),
        "like a model's": (like_a_models(human_captions[:400]), human_captions[:400]),
    }


@pytest.fixture(scope="module")
def meteors(sets) -> dict[str, float]:
    """METEOR of each set, from one process: it does not look from one photograph to another, so a set is a part of all sets."""
    if shutil.which("java") is None:
        pytest.skip("METEOR needs Java, which is not installed")
    captions, references = ([item for pair in sets.values() for item in pair[side]] for side in range(2))
    lengths = [len(captions) for captions, _ in sets.values()]
    with CaptionScorer(references, ["METEOR"]) as scorer:
        scores = scorer.statistics(captions).resampled(np.repeat(np.eye(len(sets)), lengths, axis=1))
    return dict(zip(sets, scores["METEOR"], strict=True))


@pytest.fixture(scope="module")
def oracle_meteor():
    """One process of pycocoevalcap for all sets of captions."""
    if shutil.which("java") is None:
        pytest.skip("the oracle needs Java, which is not installed")
    if not os.access(Path(java_tokenizer.__file__).parent, os.W_OK):
        pytest.skip("the oracle writes into pycocoevalcap's folder, which is read-only")
    meteor = Meteor()
    yield meteor
    meteor.meteor_p.stdout.close()
    meteor.meteor_p.stderr.close()


def against_the_others(human_captions: References, places: Sequence[int]) -> Pair:
    """Of each photograph the caption in its place, and the other four."""
    chosen = list(zip(human_captions, places, strict=True))
    return [five[place] for five, place in chosen], [five[:place] + five[place + 1 :] for five, place in chosen]


def like_a_models(human_captions: References) -> Captions:
    """Generic captions, cut and repeated words, captions of other photographs, none at all, and some that are right."""
    generator = random.Random(0)

    def caption(photograph: int) -> str:
        words = human_captions[photograph][generator.randrange(5)].lower().split()
        other = human_captions[(photograph + generator.randrange(1, len(human_captions))) % len(human_captions)][0]
        cut = words[: generator.randint(1, 8)]
        candidates = {generator.choice(GENERIC): 3, " ".join(cut): 2, other: 1, " ".join(words): 1, "": 0.3}
        candidates |= {" ".join(words[:5] + 3 * words[5:8]): 2, " ".join([*cut, "and", *words]): 2}
        return generator.choices(list(candidates), weights=list(candidates.values()))[0]

    return [caption(photograph) for photograph in range(len(human_captions))]


def by_pycocoevalcap(meteor: Meteor, captions: Captions, references: References) -> dict[str, float]:
    cut = java_tokenizer.PTBTokenizer().tokenize
    cut_captions = cut({index: [{"caption": caption}] for index, caption in enumerate(captions)})
    cut_references = cut({index: [{"caption": caption} for caption in others] for index, others in enumerate(references)})
    with contextlib.redirect_stdout(io.StringIO()):
        scores = [scorer.compute_score(cut_references, cut_captions)[0] for scorer in (Bleu(4), Rouge(), Cider(), meteor)]
    return dict(zip(NAMES, [*scores[0], *scores[1:]], strict=True))


@pytest.mark.parametrize("name", KNOWN)
def test_human_captions_have_their_known_bleu_rouge_and_cider(sets, name):
    captions, references = sets[name]
    scores = CaptionScorer(references, WITHOUT_JAVA).score(captions)
    known = {metric: score for metric, score in KNOWN[name].items() if metric != "METEOR"}
    assert {metric: scores[metric] for metric in known} == pytest.approx(known, abs=TOLERANCES[name])


@pytest.mark.parametrize("name", KNOWN)
def test_human_captions_have_their_known_meteor(meteors, name):
    assert meteors[name] == pytest.approx(KNOWN[name]["METEOR"], abs=TOLERANCES[name])


@pytest.mark.parametrize("name", ["longest", "like a model's"])
def test_captions_score_as_in_pycocoevalcap(sets, meteors, oracle_meteor, name):
    captions, references = sets[name]
    scores = CaptionScorer(references, WITHOUT_JAVA).score(captions) | {"METEOR": meteors[name]}
    assert scores == pytest.approx(by_pycocoevalcap(oracle_meteor, captions, references), abs=1e-6)


def test_the_captions_like_a_models_repeat_each_other_and_are_empty_at_times(sets):
    captions, _ = sets["like a model's"]
    assert "" in captions
    assert len(set(captions)) < 0.9 * len(captions)


def test_human_captions_by_the_measure_of_soli(human_captions):
    """Over characters against one reference: twice the BLEU-4 of the standard, on average over which of the five is taken."""
    scores = []
    for place in range(5):
        captions, references = against_the_others(human_captions, [place] * len(human_captions))
        scores.append(CaptionScorer(references, ["charBLEU"]).score(captions)["charBLEU-4"])
    assert np.mean(scores) == pytest.approx(0.41, abs=0.01)
