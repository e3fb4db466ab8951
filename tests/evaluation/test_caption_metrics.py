"""Scores of captions: pycocoevalcap with its Java tokenizer is the oracle on real captions, closed forms on small ones."""

from __future__ import annotations

import math
import random
import shutil

import numpy as np
import pytest
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.meteor.meteor import Meteor as TheirMeteor
from pycocoevalcap.rouge.rouge import Rouge
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

from soli.evaluation import CaptionScorer, score_captions, signature
from soli.interfaces import SoliError

needs_java = pytest.mark.skipif(shutil.which("java") is None, reason="the oracle is a Java program, and there is no java on the PATH")
WITHOUT_JAVA = ("BLEU", "ROUGE-L", "CIDEr")
REFERENCES = [
    ["A dog runs on the beach .", "A brown dog is running along the sea ."],
    ["Two men play guitar .", "Two musicians with guitars on a stage ."],
    ["A child climbs a red ladder .", "A girl is on a ladder ."],
    ["A skier jumps over the snow .", "Someone on skis is in the air ."],
]
HYPOTHESES = ["A dog runs along the beach .", "Two men on a stage", "A girl climbs a ladder", "A man jumps"]


@pytest.fixture(scope="module")
def human(flickr8k_root) -> tuple[list[str], list[list[str]]]:
    """The first caption of every test photograph, and its other four."""
    names = set((flickr8k_root / "Flickr_8k.testImages.txt").read_text(encoding="utf-8").split())
    captions: dict[str, list[str]] = {}
    for line in (flickr8k_root / "Flickr8k.token.txt").read_text(encoding="utf-8").splitlines():
        name, caption = line.split("\t", 1)
        if name.split("#")[0] in names:
            captions.setdefault(name.split("#")[0], []).append(caption)
    assert len(captions) == 1000
    return [five[0] for five in captions.values()], [five[1:] for five in captions.values()]


@pytest.fixture(scope="module")
def oracle_words(human) -> tuple[dict, dict]:
    """References and captions as pycocoevalcap's COCOEvalCap hands them to its scorers."""
    hypotheses, references = human
    several = {index: [{"caption": caption} for caption in captions] for index, captions in enumerate(references)}
    single = {index: [{"caption": caption}] for index, caption in enumerate(hypotheses)}
    return PTBTokenizer().tokenize(several), PTBTokenizer().tokenize(single)


@needs_java
def test_equal_to_pycocoevalcap_on_1000_photographs(human, oracle_words):
    scorer = CaptionScorer(human[1], WITHOUT_JAVA)
    scores = scorer.score(human[0])
    expected = dict(zip(["BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4"], Bleu(4).compute_score(*oracle_words, verbose=0)[0], strict=True))
    expected["ROUGE-L"] = Rouge().compute_score(*oracle_words)[0]
    expected["CIDEr"], each = Cider().compute_score(*oracle_words)
    assert scores == pytest.approx(expected, abs=1e-6)
    assert scorer.score_each(human[0]) == pytest.approx(each, abs=1e-6)


@needs_java
def test_meteor_equal_to_pycocoevalcap_on_1000_photographs(human, oracle_words):
    theirs = TheirMeteor()
    expected, _ = theirs.compute_score(*oracle_words)
    for stream in (theirs.meteor_p.stdout, theirs.meteor_p.stderr):
        stream.close()
    del theirs
    with CaptionScorer(human[1], ["METEOR"]) as scorer:
        assert scorer.score(human[0]) == {"METEOR": pytest.approx(expected, abs=1e-9)}
        assert scorer.unavailable == {}


def test_a_reference_repeated_scores_fully():
    hypotheses = [references[0] for references in REFERENCES]
    scores = score_captions(hypotheses, [[caption] for caption in hypotheses], WITHOUT_JAVA)
    assert scores == pytest.approx({f"BLEU-{order}": 1.0 for order in range(1, 5)} | {"ROUGE-L": 1.0, "CIDEr": 10.0})


def test_closed_forms():
    """Caption of 4 words, 3 of the reference's 6 in order: BLEU-1 3/4, brevity exp(1 - 6/4); ROUGE-L with beta 1.2 of P 3/4, R 3/6."""
    scores = score_captions(["A dog runs away"], [["A dog runs on the beach"]], ("BLEU", "ROUGE-L"))
    assert scores["BLEU-1"] == pytest.approx(3 / 4 * math.exp(1 - 6 / 4))
    assert scores["BLEU-2"] == pytest.approx(math.sqrt(3 / 4 * 2 / 3) * math.exp(1 - 6 / 4))
    assert scores["ROUGE-L"] == pytest.approx((1 + 1.44) * 3 / 4 * 3 / 6 / (3 / 6 + 1.44 * 3 / 4))


def test_cider_of_one_shared_word():
    """Two photographs, "dog" in one's reference: cosine 1/sqrt(2) for single words, 0 for longer n-grams, lengths in bigrams 0 and 1."""
    each = CaptionScorer([["brown dog"], ["cat"]], ["CIDEr"]).score_each(["dog", "bird"])
    assert each == pytest.approx([10 / 4 / math.sqrt(2) * math.exp(-1 / (2 * 6**2)), 0])


def test_scores_for_each_average_to_the_score():
    scorer = CaptionScorer(REFERENCES, WITHOUT_JAVA)
    each = scorer.score_each(HYPOTHESES)
    assert each.shape == (4,) and each.dtype == np.float64
    assert each.mean() == pytest.approx(scorer.score(HYPOTHESES)["CIDEr"])


def test_the_order_of_photographs_does_not_matter():
    order = random.Random(0).sample(range(4), 4)
    permuted = score_captions([HYPOTHESES[index] for index in order], [REFERENCES[index] for index in order], WITHOUT_JAVA)
    assert permuted == pytest.approx(score_captions(HYPOTHESES, REFERENCES, WITHOUT_JAVA), abs=1e-12)


def test_captions_given_to_the_wrong_photographs_score_less():
    assert (
        score_captions(HYPOTHESES[1:] + HYPOTHESES[:1], REFERENCES, ["CIDEr"])["CIDEr"]
        < 0.2 * score_captions(HYPOTHESES, REFERENCES, ["CIDEr"])["CIDEr"]
    )


@pytest.mark.parametrize("space", ["\n", "\r\n", "\u2028", "\x85", "\x0c"])
def test_line_breaks_shift_nothing(space):
    broken = [caption.replace(" ", space, 2) + space for caption in HYPOTHESES]
    references = [[caption.replace(" ", space, 2) for caption in captions] for captions in REFERENCES]
    assert score_captions(broken, references, WITHOUT_JAVA) == score_captions(HYPOTHESES, REFERENCES, WITHOUT_JAVA)


@pytest.mark.parametrize("wordless", ["", ".", " \n ", '" "'])
def test_a_caption_without_words_scores_0_and_moves_no_other(wordless):
    scorer = CaptionScorer([*REFERENCES[:3], ["A skier", "."]], WITHOUT_JAVA)
    changed = [HYPOTHESES[0], wordless, HYPOTHESES[2], wordless]
    each, whole = scorer.score_each(changed), scorer.score_each(HYPOTHESES)
    assert each[[1, 3]].tolist() == [0, 0]
    assert each[[0, 2]] == pytest.approx(whole[[0, 2]])
    alone = score_captions([HYPOTHESES[0]], REFERENCES[:1], ["ROUGE-L"])["ROUGE-L"]
    assert score_captions([HYPOTHESES[0], wordless], [REFERENCES[0], ["."]], ["ROUGE-L"])["ROUGE-L"] == pytest.approx(alone / 2)


def test_nothing_but_captions_without_words():
    scores = score_captions(["", "."], [["."], ["", "!"]], WITHOUT_JAVA)
    assert scores == pytest.approx(dict.fromkeys(scores, 0.0), abs=1e-6)
    assert set(scores) == {"BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L", "CIDEr"}


def test_nothing_is_printed(capfd):
    score_captions(HYPOTHESES, REFERENCES, WITHOUT_JAVA)
    assert capfd.readouterr() == ("", "")


def test_only_what_was_asked_for():
    assert list(score_captions(HYPOTHESES, REFERENCES, ["CIDEr"])) == ["CIDEr"]
    assert list(score_captions(HYPOTHESES, REFERENCES, ("ROUGE-L", "BLEU"))) == ["ROUGE-L", "BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4"]


@pytest.mark.parametrize(
    ("hypotheses", "references", "metrics", "sentence"),
    [
        ("a dog", [["a dog"]], ["CIDEr"], r"hypotheses is a str.*\['a dog'\]"),
        (["a dog"], ["a dog"], ["CIDEr"], r"references\[0\] is a str"),
        (["a dog"], "a dog", ["CIDEr"], "references is a str"),
        (["a dog"], {0: ["a dog"]}, ["CIDEr"], "references is a dict"),
        ({0: "a dog"}, [["a dog"]], ["CIDEr"], "hypotheses is a dict"),
        ([["a dog"]], [["a dog"]], ["CIDEr"], r"hypotheses\[0\] is \['a dog'\].*one string"),
        (["a dog"], [["a dog", None]], ["CIDEr"], r"references\[0\]\[1\] is None"),
        (["a dog", "a cat"], [["a dog"]], ["CIDEr"], "2 captions were given for 1 photographs"),
        ([], [], ["CIDEr"], "references is empty"),
        (["a dog", "a cat"], [["a dog"], []], ["CIDEr"], r"references\[1\] is empty"),
        (["a dog"], [["a dog"]], ["cider"], r"no metric 'cider' \(did you mean CIDEr\?\).*BLEU, METEOR, ROUGE-L, CIDEr"),
        (["a dog"], [["a dog"]], ["SPICE"], "no metric 'SPICE'.*BLEU, METEOR, ROUGE-L, CIDEr"),
        (["a dog"], [["a dog"]], "CIDEr", r"metrics is 'CIDEr': give a list"),
        (["a dog"], [["a dog"]], [], r"metrics is \[\]"),
    ],
)
def test_refused(hypotheses, references, metrics, sentence):
    with pytest.raises(SoliError, match=sentence):
        score_captions(hypotheses, references, metrics)


def test_without_java_the_other_metrics_are_reported(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.warns(UserWarning, match="METEOR is not reported: there is no `java` on the PATH"), CaptionScorer(REFERENCES) as scorer:
        scores = scorer.score(HYPOTHESES)
        assert scorer.score(HYPOTHESES) == scores
    assert list(scorer.unavailable) == ["METEOR"] and "install" in scorer.unavailable["METEOR"]
    assert scores == score_captions(HYPOTHESES, REFERENCES, WITHOUT_JAVA)


def test_signature_names_what_scores_depend_on():
    line = signature("CIDEr", refs=5, gen="beam3", cond="R0.2S1")
    assert line.startswith("CIDEr|level:word|tok:ptb-nltk") and "|refs:5|gen:beam3|cond:R0.2S1|soli:" in line
    with pytest.raises(SoliError, match="gen is 'a|b'"):
        signature(gen="a|b")
