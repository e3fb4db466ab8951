"""ROUGE-L of single captions: pycocoevalcap and a plain table of longest common subsequences are the oracles."""

import random

import pytest
from pycocoevalcap.rouge.rouge import Rouge

from soli.evaluation.rouge import BETA, ReferenceWords

WORDS = ["a", "dog", "runs", "on", "the", "grass"]


def random_caption(generator: random.Random, least: int, most: int) -> list[str]:
    return generator.choices(WORDS, k=generator.randint(least, most))


def by_pycocoevalcap(caption: list[str], references: list[list[str]]) -> float:
    return Rouge().calc_score([" ".join(caption)], [" ".join(words) for words in references])


def longest_common_subsequence(caption: list[str], reference: list[str]) -> int:
    """table[i][j]: of the first i and the first j words."""
    table = [[0] * (len(reference) + 1) for _ in range(len(caption) + 1)]
    for i, word in enumerate(caption, start=1):
        for j, other in enumerate(reference, start=1):
            table[i][j] = table[i - 1][j - 1] + 1 if word == other else max(table[i - 1][j], table[i][j - 1])
    return table[-1][-1]


@pytest.mark.parametrize("seed", range(20))
def test_random_captions_score_as_in_pycocoevalcap(seed):
    generator = random.Random(seed)
    for _ in range(20):
        caption = random_caption(generator, 1, 14)
        references = [random_caption(generator, 1, 14) for _ in range(generator.randint(1, 5))]
        assert ReferenceWords(references).rouge(caption) == pytest.approx(by_pycocoevalcap(caption, references), abs=1e-12)


@pytest.mark.parametrize("most", [3, 20, 63, 64, 65, 200])
def test_the_longest_common_subsequence_is_that_of_a_plain_table(most):
    """Around 64 places too, though Python's numbers have no such bound: with one reference of as many words, F is the share in common."""
    generator = random.Random(most)
    for _ in range(10):
        caption = random_caption(generator, most, most)
        reference = random_caption(generator, most, most)
        common = longest_common_subsequence(caption, reference)
        assert ReferenceWords([reference]).rouge(caption) * most == pytest.approx(common, abs=1e-9)


def test_the_best_precision_and_the_best_recall_may_come_from_two_references():
    caption, long, short = WORDS, ["a", "dog", "runs", "on", "grass", "in", "the", "sun", "at", "noon"], ["dog"]
    precision = longest_common_subsequence(caption, long) / len(caption)
    expected = (1 + BETA**2) * precision * 1 / (1 + BETA**2 * precision)
    assert ReferenceWords([long, short]).rouge(caption) == pytest.approx(expected)
    assert by_pycocoevalcap(caption, [long, short]) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("caption", "references"),
    [
        ("dog", ["dog"]),
        ("dog", ["a dog", "cat"]),
        ("cat", ["a dog", "dog"]),
        ("a a a a", ["a a", "a"]),
        ("a dog", ["dog a", "a dog"]),
        ("a dog runs", ["a dog runs"] * 5),
    ],
)
def test_edges_score_as_in_pycocoevalcap(caption, references):
    ours = ReferenceWords([words.split() for words in references]).rouge(caption.split())
    assert ours == pytest.approx(by_pycocoevalcap(caption.split(), [words.split() for words in references]), abs=1e-12)


def test_a_caption_without_words_has_no_score():
    """pycocoevalcap would take two empty captions for one and the same word."""
    assert ReferenceWords([["a", "dog"]]).rouge([]) == by_pycocoevalcap([], [["a", "dog"]]) == 0.0
    assert ReferenceWords([[]]).rouge([]) == 0.0


def test_a_reference_without_words_is_matched_by_none_and_hides_no_other():
    assert ReferenceWords([[]]).rouge(["a", "dog"]) == 0.0
    both = ReferenceWords([[], ["a", "dog", "runs"]]).rouge(["a", "dog"])
    assert both == ReferenceWords([["a", "dog", "runs"]]).rouge(["a", "dog"]) > 0.0
    assert both == pytest.approx(by_pycocoevalcap(["a", "dog"], [[], ["a", "dog", "runs"]]))
