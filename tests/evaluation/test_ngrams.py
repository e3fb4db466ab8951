"""BLEU's and CIDEr-D's statistics of each caption: pycocoevalcap's scorers are the oracle, on random words that often repeat."""

import random

import numpy as np
import pytest
from pycocoevalcap.bleu.bleu_scorer import cook_refs, cook_test
from pycocoevalcap.cider.cider_scorer import CiderScorer

from soli.evaluation.ngrams import ReferenceNgrams, ngrams

KNOWN = ["a", "dog", "runs", "on", "the", "grass"]
UNSEEN = ["zebra", "graze"]
EDGES = {  # captions, and the references of each
    "one word": (["dog", "cat", "dog"], [["dog"], ["dog", "a cat"], ["a dog runs"]]),
    "empty caption": (["", "a dog"], [["a dog", "dogs"], ["a dog"]]),
    "empty reference": (["a dog", ""], [["", "a dog runs"], [""]]),
    "equal references": (["a dog runs on the grass", "a cat"], [["a dog runs on grass"] * 5, ["a cat", "a cat"]]),
    "unseen words": (["zebra graze zebra graze", "a zebra"], [["a dog runs"], ["a dog", "two men"]]),
    "the same word again and again": (["a a a a a a a a", "dog dog"], [["a dog a dog", "a a"], ["dog dog dog dog"]]),
    "a single photograph": (["a dog runs"], [["a dog runs", "a dog"]]),
    "words of every photograph": (["a dog", "a cat"], [["a dog runs", "a bird"], ["a cat sits"]]),
    "much longer and much shorter": (["a dog " * 40, "a"], [["a dog"], ["a dog runs on the grass " * 10]]),
}


def random_captions(seed: int, num_photographs: int = 12) -> tuple[list[str], list[list[str]]]:
    """Captions of 0 to 14 words, some of them in no reference, and 1 to 5 references for each."""
    generator = random.Random(seed)

    def caption(words: list[str], least: int) -> str:
        return " ".join(generator.choices(words, k=generator.randint(least, 14)))

    captions = [caption(KNOWN + UNSEEN, least=0) for _ in range(num_photographs)]
    return captions, [[caption(KNOWN, least=1) for _ in range(generator.randint(1, 5))] for _ in captions]


def of_words(references: list[list[str]]) -> ReferenceNgrams:
    return ReferenceNgrams([[caption.split() for caption in captions] for captions in references])


def assert_equal_to_pycocoevalcap(captions: list[str], references: list[list[str]]) -> None:
    ours = of_words(references)
    oracle = CiderScorer()
    for photograph, (caption, others) in enumerate(zip(captions, references, strict=True)):
        counted = cook_test(caption, cook_refs(others), eff="closest")
        expected = [*counted["correct"], *counted["guess"], counted["testlen"], counted["reflen"]]
        assert ours.bleu(photograph, caption.split(), ngrams(caption.split())) == expected
        oracle += (caption, others)
    _, expected = oracle.compute_score()
    each = [ours.cider(photograph, caption.split(), ngrams(caption.split())) for photograph, caption in enumerate(captions)]
    np.testing.assert_allclose(each, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("seed", range(20))
def test_random_captions_have_the_statistics_of_pycocoevalcap(seed):
    assert_equal_to_pycocoevalcap(*random_captions(seed))


@pytest.mark.parametrize("edge", EDGES)
def test_edges_have_the_statistics_of_pycocoevalcap(edge):
    assert_equal_to_pycocoevalcap(*EDGES[edge])


def test_the_random_captions_are_no_empty_comparison():
    """Some share four words in a row with a reference, some repeat a word more often than any reference, some are empty."""
    captions, references = map(list, zip(*(random_captions(seed) for seed in range(20)), strict=True))
    rows = [
        (caption, of_words(others).bleu(index, caption.split(), ngrams(caption.split())))
        for hypotheses, others in zip(captions, references, strict=True)
        for index, caption in enumerate(hypotheses)
    ]
    assert any(correct4 for _, (_, _, _, correct4, *_) in rows)
    assert any(correct1 < sum(word in KNOWN for word in caption.split()) for caption, (correct1, *_) in rows)
    assert any(not caption for caption, _ in rows)


@pytest.mark.parametrize(("lengths", "closest"), [((3, 5), 3), ((5, 3), 3), ((6, 3, 9), 3), ((5, 5), 5), ((4, 3, 5), 4)])
def test_of_two_references_equally_close_to_four_words_the_shorter_counts(lengths, closest):
    references = [" ".join(KNOWN[index % 6] for index in range(length)) for length in lengths]
    caption = "a dog runs on"
    row = of_words([references]).bleu(0, caption.split(), ngrams(caption.split()))
    assert row[-2:] == [4, closest]
    assert cook_test(caption, cook_refs(references), eff="closest")["reflen"] == closest


def test_ngrams_by_hand():
    assert ngrams(["a", "dog", "a", "dog"]) == {
        **{("a",): 2, ("dog",): 2, ("a", "dog"): 2, ("dog", "a"): 1},
        **{("a", "dog", "a"): 1, ("dog", "a", "dog"): 1, ("a", "dog", "a", "dog"): 1},
    }
    assert ngrams([]) == ngrams("") == {}


def test_the_parts_of_a_string_count_as_its_characters_do():
    """Strings are not cut into lists of characters, for speed: the counts are those of the lists, spaces included."""
    captions, references = random_captions(seed=0)
    strings = ReferenceNgrams(references)
    lists = ReferenceNgrams([[list(caption) for caption in captions] for captions in references])
    for photograph, caption in enumerate(captions):
        assert strings.bleu(photograph, caption, ngrams(caption)) == lists.bleu(photograph, list(caption), ngrams(list(caption)))
        assert {tuple(gram): count for gram, count in ngrams(caption).items()} == ngrams(list(caption))


def test_the_order_of_references_and_photographs_does_not_matter():
    captions, references = random_captions(seed=1)
    ours, turned = of_words(references), of_words([others[::-1] for others in references[::-1]])
    for photograph, caption in enumerate(captions):
        words, counts = caption.split(), ngrams(caption.split())
        moved = len(captions) - 1 - photograph
        assert ours.bleu(photograph, words, counts) == turned.bleu(moved, words, counts)
        assert ours.cider(photograph, words, counts) == pytest.approx(turned.cider(moved, words, counts), abs=1e-12)
