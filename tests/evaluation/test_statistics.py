"""Scores from sums of statistics: of a set, of any resample of it, and by METEOR's own program and nltk as oracles."""

import random
import shutil

import numpy as np
import pytest
from nltk.translate.bleu_score import corpus_bleu

from soli.evaluation.caption_metrics import METRICS, CaptionScorer
from soli.evaluation.meteor import Meteor
from soli.evaluation.statistics import FORMULAS, Statistics, unfragmented
from soli.tokenization import tokenize

needs_java = pytest.mark.skipif(shutil.which("java") is None, reason="METEOR needs Java, which is not installed")
WITHOUT_JAVA = ("BLEU", "ROUGE-L", "CIDEr", "charBLEU")
NAMES = (*(f"BLEU-{order}" for order in range(1, 5)), "ROUGE-L", "CIDEr", *(f"charBLEU-{order}" for order in range(1, 5)))
REFERENCES = [
    ["A brown dog runs over the grass.", "The dog is running fast."],
    ["Two men sit on a wooden bench.", "Men on a bench in a park."],
    ["A child in a red coat slides down the snow.", "A child sleds."],
    ["A boat on the calm lake at sunset.", "One small boat floats."],
    ["A boat.", "The boats are tied to the pier of a small town."],
]
HYPOTHESES = ["a dog runs over the grass", "two men on a bench", "", "a boat on the lake at sunset", "a boat"]
ALIKE = ["a dog runs over the green grass", "dog", "of the", "men running"]  # equal to a reference
WRITTEN = [  # for METEOR: without any match, empty, of function words only, with stems, synonyms and paraphrases, in another order
    ("zebras graze", ["two men sit on a bench"]),
    ("", ["a dog runs"]),
    ("dog", ["", "a cat"]),
    ("the of a in", ["a man in the park", "the of a"]),
    ("the large dogs jumped quickly", ["a big dog jumps", "one hound is leaping fast"]),
    ("a number of people are in front of a building", ["several people stand before a house"]),
    ("grass green the over runs dog a", ["a dog runs over the green grass"]),
    ("a dog a dog a dog", ["a dog and a cat", "dog dog"]),
    *[(caption, ["two cats", caption]) for caption in ALIKE],
]


@pytest.fixture(scope="module")
def statistics():
    with CaptionScorer(REFERENCES, WITHOUT_JAVA) as scorer:
        return scorer.statistics(HYPOTHESES)


@pytest.fixture(scope="module")
def meteor():
    meteor = Meteor()
    yield meteor
    meteor.close()


@pytest.fixture(scope="module")
def human(human_captions):
    """The first caption of 150 of the test photographs, and the other four, as words joined by spaces; each tenth is one of the four."""
    captions = [[" ".join(tokenize(caption)) for caption in five] for five in human_captions[:150]]
    return [(others[2] if index % 10 == 0 else first, others) for index, (first, *others) in enumerate(captions)]


def random_statistics(num_photographs: int = 30) -> Statistics:
    """Rows of captions that never were, for all formulas; METEOR's lengths are above its function words and matches."""
    generator = np.random.default_rng(0)
    length = generator.integers(4, 15, (num_photographs, 1))
    guessed = length - np.arange(4)
    bleu = np.hstack([generator.integers(0, guessed + 1), guessed, length, generator.integers(4, 15, length.shape)])
    meteor = np.hstack(
        [
            generator.integers(12, 20, (num_photographs, 2)),
            generator.integers(1, 10, (num_photographs, 2)),
            generator.integers(0, 3, (num_photographs, 16)),
            generator.integers(1, 5, (num_photographs, 1)),
            generator.integers(5, 12, (num_photographs, 2)),
        ]
    )
    shares = {"ROUGE-L": generator.random((num_photographs, 1)), "CIDEr": 10 * generator.random((num_photographs, 1))}
    rows = {"BLEU": bleu, "METEOR": meteor, "charBLEU": 2 * bleu, **shares}
    return Statistics({metric: values.astype(np.float64) for metric, values in rows.items()})


def repeated(statistics: Statistics, counts: np.ndarray) -> Statistics:
    return Statistics({metric: np.repeat(rows, counts, axis=0) for metric, rows in statistics.rows.items()})


def test_every_formula_is_resampled_here():
    assert set(random_statistics().rows) == {*METRICS, *FORMULAS}


@pytest.mark.parametrize("seed", range(5))
def test_a_resample_has_the_scores_of_its_photographs_repeated(seed):
    statistics = random_statistics()
    counts = np.random.default_rng(seed).integers(0, 4, (3, 30))
    resampled = statistics.resampled(counts)
    for index, row in enumerate(counts):
        scores = repeated(statistics, row).scores()
        assert {name: values[index] for name, values in resampled.items()} == pytest.approx(scores, abs=1e-12)
        assert len(set(scores.values())) == len(scores)


def test_each_photograph_once_has_the_scores_of_the_set(statistics):
    for given in (statistics, random_statistics()):
        once = given.resampled(np.ones((2, len(given.rows["BLEU"]))))
        for index in range(2):
            assert {name: values[index] for name, values in once.items()} == pytest.approx(given.scores(), abs=1e-12)
    assert set(statistics.scores()) == set(NAMES)


def test_bleu_and_rouge_of_a_resample_are_those_of_its_captions_scored_anew(statistics):
    """CIDEr is not: it weighs words by how many photographs have them, and a resample keeps the weights of the set."""
    counts = np.array([2, 0, 1, 3, 1])
    hypotheses = [caption for caption, count in zip(HYPOTHESES, counts, strict=True) for _ in range(count)]
    references = [captions for captions, count in zip(REFERENCES, counts, strict=True) for _ in range(count)]
    anew = CaptionScorer(references, ("BLEU", "ROUGE-L", "charBLEU")).score(hypotheses)
    resampled = statistics.resampled(counts[None])
    assert {name: resampled[name][0] for name in anew} == pytest.approx(anew, abs=1e-12)
    assert set(NAMES) - set(anew) == {"CIDEr"}


def test_one_photograph_alone_has_the_score_of_its_caption(statistics):
    alone = statistics.resampled(np.eye(5))
    for index, (caption, captions) in enumerate(zip(HYPOTHESES, REFERENCES, strict=True)):
        scores = CaptionScorer([captions], ("BLEU", "ROUGE-L", "charBLEU")).score([caption])
        assert {name: alone[name][index] for name in scores} == pytest.approx(scores, abs=1e-12)
    np.testing.assert_array_equal(alone["CIDEr"], statistics.rows["CIDEr"][:, 0])


def test_without_rows_there_are_no_scores():
    assert Statistics({}).scores() == {}


def by_the_java_program(meteor: Meteor, pairs: list[tuple[str, list[str]]]) -> tuple[np.ndarray, list[float], float]:
    """The statistics of each caption, and what the program itself makes of them: each caption's score, and that of all."""
    answers = []
    for caption, references in pairs:
        meteor._write(" ||| ".join(["SCORE", *references, caption]))
        answers.append(meteor._read())
    meteor._write(" ||| ".join(["EVAL", *answers]))
    each = [float(meteor._read()) for _ in answers]
    return np.array([[float(number) for number in answer.split()] for answer in answers]), each, float(meteor._read())


@needs_java
@pytest.mark.parametrize("kind", ["human", "written", "all alike", "one alike", "no match"])
def test_meteor_has_the_formula_of_its_java_program(meteor, kind, request):
    pairs = {
        "written": WRITTEN,
        "all alike": [(caption, [caption]) for caption in ALIKE],
        "one alike": [(ALIKE[0], [ALIKE[0]])],
        "no match": WRITTEN[:2],
    }.get(kind) or request.getfixturevalue("human")
    meteor.start()
    rows, each, score = by_the_java_program(meteor, pairs)
    ours = Statistics({"METEOR": unfragmented(rows.copy())})
    np.testing.assert_allclose(ours.resampled(np.eye(len(pairs)))["METEOR"], each, rtol=0, atol=1e-9)
    assert ours.scores() == {"METEOR": pytest.approx(score, abs=1e-9)}
    np.testing.assert_array_equal(meteor.statistics(*map(list, zip(*pairs, strict=True))), rows)
    assert (max(each) == 1.0) == (kind != "no match")
    assert (min(each) == 0.0) == (kind in ("written", "no match"))


@pytest.mark.parametrize("seed", range(5))
def test_char_bleu_is_nltks_of_strings_with_one_reference(seed):
    """nltk takes a string for a list of words; captions have at least four characters, as it counts an n-gram in shorter ones too."""
    generator = random.Random(seed)
    words = ["a", "dog", "runs", "on", "the", "green", "grass", "with", "two", "men"]
    references = [[" ".join(generator.choices(words, k=generator.randint(2, 12))), "another caption"] for _ in range(20)]
    hypotheses = [" ".join(generator.choices([*words, "zebra"], k=generator.randint(4, 12))) for _ in range(20)]
    scores = CaptionScorer(references, ["charBLEU"]).score(hypotheses)
    for order in range(1, 5):
        expected = corpus_bleu([[first] for first, _ in references], hypotheses, weights=[1 / order] * order)
        assert scores[f"charBLEU-{order}"] == pytest.approx(expected, abs=1e-6)
    assert 0.1 < scores["charBLEU-4"] < 0.9
