"""The scores of captions: pycocoevalcap is the oracle on real captions, closed forms and properties say the rest."""

import contextlib
import io
import math
import os
import shutil
from pathlib import Path

import numpy as np
import pycocoevalcap.tokenizer.ptbtokenizer as java_tokenizer
import pytest
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.meteor.meteor import Meteor
from pycocoevalcap.rouge.rouge import Rouge

from soli.evaluation import CaptionScorer, score_captions
from soli.interfaces import SoliError

WITHOUT_JAVA = ("BLEU", "ROUGE-L", "CIDEr")
NAMES = ("BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L", "CIDEr")
REFERENCES = [
    ["A brown dog runs over the grass.", "The dog is running fast."],
    ["Two men sit on a wooden bench.", "Men on a bench in a park."],
    ["A child in a red coat slides down the snow.", "A child sleds."],
    ["A boat on the calm lake at sunset.", "One small boat floats."],
]
HYPOTHESES = ["a dog runs over the grass", "two men on a bench", "a child in a red hat", "a boat at sunset"]


@pytest.fixture(scope="module")
def human(human_captions):
    """The first caption of each of the 1,000 test photographs, and the other four."""
    return [first for first, *_ in human_captions], [others for _, *others in human_captions]


@pytest.fixture(scope="module")
def java_words(human):
    """The same, cut by the Java tokenizer, in the dictionaries of pycocoevalcap."""
    if shutil.which("java") is None:
        pytest.skip("the oracle needs Java, which is not installed")
    if not os.access(Path(java_tokenizer.__file__).parent, os.W_OK):
        pytest.skip("the oracle writes into pycocoevalcap's folder, which is read-only")
    hypotheses, references = human
    cut = java_tokenizer.PTBTokenizer().tokenize
    return (
        cut({index: [{"caption": caption}] for index, caption in enumerate(hypotheses)}),
        cut({index: [{"caption": caption} for caption in captions] for index, captions in enumerate(references)}),
    )


def test_bleu_rouge_and_cider_equal_pycocoevalcap_on_flickr8k(human, java_words):
    hypotheses, references = human
    cut_hypotheses, cut_references = java_words
    with contextlib.redirect_stdout(io.StringIO()):
        bleu, _ = Bleu(4).compute_score(cut_references, cut_hypotheses)
        rouge, _ = Rouge().compute_score(cut_references, cut_hypotheses)
        cider, each = Cider().compute_score(cut_references, cut_hypotheses)
    scorer = CaptionScorer(references, WITHOUT_JAVA)
    assert scorer.score(hypotheses) == pytest.approx(dict(zip(NAMES, [*bleu, rouge, cider], strict=True)), abs=1e-6)
    np.testing.assert_allclose(scorer.score_each(hypotheses), each, atol=1e-6)


def test_meteor_equals_pycocoevalcap_on_flickr8k_and_one_process_computes_it(human, java_words):
    hypotheses, references = human
    cut_hypotheses, cut_references = java_words
    oracle = Meteor()
    expected, _ = oracle.compute_score(cut_references, cut_hypotheses)
    oracle.meteor_p.stdout.close()
    oracle.meteor_p.stderr.close()
    with CaptionScorer(references, ["METEOR"]) as scorer:
        pid = scorer._meteor.pid
        assert scorer.score(hypotheses) == {"METEOR": pytest.approx(expected, abs=1e-9)}
        assert scorer.score(hypotheses[1:] + hypotheses[:1])["METEOR"] < 0.5 * expected
        assert scorer._meteor.pid == pid
    assert scorer._meteor.pid is None
    assert scorer.unavailable == {}


def test_another_set_of_captions_is_scored_as_by_a_scorer_of_its_own():
    scorer = CaptionScorer(REFERENCES, WITHOUT_JAVA)
    first = scorer.score(HYPOTHESES)
    other = scorer.score(HYPOTHESES[::-1])
    assert other == score_captions(HYPOTHESES[::-1], REFERENCES, WITHOUT_JAVA)
    assert scorer.score(HYPOTHESES) == first
    assert first["CIDEr"] > other["CIDEr"]


def test_captions_equal_to_a_reference_have_the_full_score():
    captions = [first for first, _ in REFERENCES]
    scores = score_captions(captions, [[caption] for caption in captions], WITHOUT_JAVA)
    assert scores == pytest.approx({**dict.fromkeys(NAMES, 1.0), "CIDEr": 10.0}, abs=1e-6)


def test_captions_that_share_no_word_with_the_references_have_no_score():
    scores = score_captions(["zebras graze"] * 4, REFERENCES, WITHOUT_JAVA)
    assert scores == pytest.approx(dict.fromkeys(NAMES, 0.0), abs=1e-6)


def test_bleu_by_hand():
    """4 of 5 words, 2 of 4 pairs; as long as the nearest reference, so no penalty."""
    scores = score_captions(["a dog runs on sand"], [["a dog jumps on sand", "dogs"]], ["BLEU"])
    assert scores["BLEU-1"] == pytest.approx(4 / 5)
    assert scores["BLEU-2"] == pytest.approx(math.sqrt(4 / 5 * 2 / 4))
    short = score_captions(["a dog jumps"], [["a dog jumps on sand"]], ["BLEU"])
    assert short["BLEU-1"] == pytest.approx(math.exp(1 - 5 / 3))


def test_rouge_by_hand():
    """The longest common subsequence of 3 words is 3/4 of the caption and 3/5 of the reference; beta is 1.2."""
    precision, recall = 3 / 4, 3 / 5
    expected = (1 + 1.2**2) * precision * recall / (recall + 1.2**2 * precision)
    assert score_captions(["a dog quickly jumps"], [["a big dog jumps high"]], ["ROUGE-L"]) == pytest.approx({"ROUGE-L": expected})


def test_cider_of_one_photograph_is_zero_for_no_word_is_rare():
    assert score_captions(["a dog"], [["a dog"]], ["CIDEr"]) == {"CIDEr": 0.0}


def test_cider_of_one_shared_word():
    """Of two photographs one has "dog": the cosine of single words is 1/sqrt(2), the other n-grams give 0; lengths, in pairs, 0 and 1."""
    each = CaptionScorer([["brown dog"], ["cat"]], ["CIDEr"]).score_each(["dog", "bird"])
    np.testing.assert_allclose(each, [10 / 4 / math.sqrt(2) * math.exp(-1 / (2 * 6**2)), 0])


def test_the_order_of_the_photographs_and_of_their_references_does_not_matter():
    order = [2, 0, 3, 1]
    moved = score_captions([HYPOTHESES[index] for index in order], [REFERENCES[index][::-1] for index in order], WITHOUT_JAVA)
    assert moved == pytest.approx(score_captions(HYPOTHESES, REFERENCES, WITHOUT_JAVA), abs=1e-9)


def test_case_and_punctuation_do_not_matter():
    shouted = [f'"{caption.upper()}!"' for caption in HYPOTHESES]
    assert score_captions(shouted, REFERENCES, WITHOUT_JAVA) == score_captions(HYPOTHESES, REFERENCES, WITHOUT_JAVA)


@pytest.mark.parametrize("space", ["\n", "\r\n", "\u2028", "\u2029", "\x85", "\x0b", "\t", "\xa0", "\u3000"])
def test_no_white_space_moves_a_caption_to_another_photograph(space):
    broken = [caption.replace(" ", space) for caption in HYPOTHESES]
    references = [[caption.replace(" ", space) for caption in captions] for captions in REFERENCES]
    assert score_captions(broken, references, WITHOUT_JAVA) == score_captions(HYPOTHESES, REFERENCES, WITHOUT_JAVA)


@pytest.mark.parametrize("caption", ["", "   ", ".", "...", "?!", '"', "- -", "\n", "\u2028"])
def test_a_caption_without_words_scores_nothing_and_moves_no_other(caption):
    scorer = CaptionScorer(REFERENCES, WITHOUT_JAVA)
    full = scorer.score_each(HYPOTHESES)
    each = scorer.score_each([*HYPOTHESES[:1], caption, *HYPOTHESES[2:]])
    np.testing.assert_array_equal(each, np.where(np.arange(4) == 1, 0.0, full))
    assert scorer.score([caption] * 4) == pytest.approx(dict.fromkeys(NAMES, 0.0), abs=1e-6)


@pytest.mark.parametrize("wordless", ["", "!!! ..."])
def test_references_without_words_match_nothing(wordless):
    scores = score_captions(["a dog", ""], [[wordless], [wordless]], WITHOUT_JAVA)
    assert scores == pytest.approx(dict.fromkeys(NAMES, 0.0), abs=1e-6)


def test_nothing_is_printed(capfd):
    score_captions(HYPOTHESES, REFERENCES, WITHOUT_JAVA)
    assert capfd.readouterr() == ("", "")


def test_only_the_metrics_asked_for_are_given_in_their_order():
    assert list(score_captions(HYPOTHESES, REFERENCES, ["CIDEr", "ROUGE-L"])) == ["CIDEr", "ROUGE-L"]


def test_cider_of_each_has_the_mean_that_is_reported():
    scorer = CaptionScorer(REFERENCES, ["CIDEr"])
    assert scorer.score_each(HYPOTHESES).mean() == pytest.approx(scorer.score(HYPOTHESES)["CIDEr"])


@pytest.mark.parametrize(
    ("hypotheses", "references", "message"),
    [
        ("a dog", [["a dog"]], "hypotheses is a str.*list of captions"),
        (["a dog"], "a dog", "references is a str"),
        (["a dog"], ["a dog"], r"references\[0\] is a str.*list of captions"),
        (["a dog"], [[["a", "dog"]]], r"references\[0\]\[0\] is \['a', 'dog'\].*one string"),
        ([["a", "dog"]], [["a dog"]], r"hypotheses\[0\] is \['a', 'dog'\].*one string"),
        ([None], [["a dog"]], r"hypotheses\[0\] is None"),
        (["a dog", "a cat"], [["a dog"]], "2 captions were given for 1 photographs"),
        ([], [], "references is empty"),
        (["a dog", "a cat"], [["a dog"], []], r"references\[1\] is empty"),
        ({"a": "a dog"}, [["a dog"]], "hypotheses is a dict"),
    ],
)
def test_what_is_no_list_of_captions_per_photograph_is_refused(hypotheses, references, message):
    with pytest.raises(SoliError, match=message):
        score_captions(hypotheses, references, WITHOUT_JAVA)


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        (["cider"], "no metric 'cider' .did you mean CIDEr"),
        (["WER"], "BLEU, METEOR, ROUGE-L, CIDEr, SPICE"),
        ("BLEU", "list"),
        ([], "list"),
    ],
)
def test_unknown_metrics_are_refused_with_the_allowed_ones(metrics, message):
    with pytest.raises(SoliError, match=message):
        CaptionScorer(REFERENCES, metrics)
