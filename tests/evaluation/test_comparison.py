"""The paired bootstrap: against a plain loop, scipy, known truths; and that its intervals cover what they claim to."""

import numpy as np
import pytest
from scipy import stats

from soli.evaluation import CaptionScorer
from soli.evaluation.comparison import Spread, compare
from soli.evaluation.statistics import Statistics

REFERENCES = [
    [f"a {animal} runs over the {place}", f"the {animal} is on {place}"]
    for animal in ("dog", "cat", "cow")
    for place in ("sand", "snow", "grass")
]
GOOD = [captions[0] for captions in REFERENCES]
BAD = ["a man sits", *["a dog runs on the sand"] * 8]


def cider(values):
    return Statistics({"CIDEr": np.asarray(values, dtype=float)[:, None]})


def test_the_interval_covers_a_known_difference_in_95_of_100_cases():
    """1,000 data sets of 200 photographs; photographs differ more than variants do, as in life, and scores are skewed as CIDEr is."""
    generator = np.random.default_rng(0)
    truth, covered = 0.05, 0
    for number in range(1000):
        photograph = generator.gamma(1.0, 0.5, size=200)
        ours, theirs = (photograph + gain + generator.gamma(2.0, 0.1, size=200) for gain in (truth, 0.0))
        found = compare([cider(ours)], [cider(theirs)], resamples=400, seed=number)["CIDEr"]
        covered += found.low <= truth <= found.high
    assert 930 <= covered <= 970, covered


def test_p_values_are_uniform_where_there_is_no_difference():
    generator = np.random.default_rng(1)
    found = [
        compare([cider(generator.normal(size=150))], [cider(generator.normal(size=150))], resamples=400, seed=seed)["CIDEr"].p
        for seed in range(400)
    ]
    assert stats.kstest(found, "uniform").statistic < 0.09
    assert 0.02 < np.mean(np.array(found) < 0.05) < 0.09


def test_a_plain_loop_gives_the_same_interval():
    captions, others = GOOD, [*GOOD[:5], *BAD[5:]]
    scorer = CaptionScorer(REFERENCES, ["BLEU", "ROUGE-L", "CIDEr"])
    ours, theirs = scorer.statistics(captions), scorer.statistics(others)
    found = compare([ours], [theirs], resamples=300, seed=3)
    generator = np.random.default_rng(3)
    counts = np.concatenate([generator.multinomial(9, np.full(9, 1 / 9), size=size) for size in (200, 100)])
    values = {name: [] for name in found}
    for row in counts:
        chosen = np.repeat(np.arange(9), row)
        sets = [Statistics({metric: rows[chosen] for metric, rows in side.rows.items()}).scores() for side in (ours, theirs)]
        for name in values:
            values[name].append(sets[0][name] - sets[1][name])
    for name, difference in found.items():
        assert (difference.low, difference.high) == pytest.approx(tuple(np.quantile(values[name], [0.025, 0.975])), abs=1e-9)
        assert difference.value == pytest.approx(ours.scores()[name] - theirs.scores()[name])
    assert set(found) == {"BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L", "CIDEr"}


def test_the_interval_of_a_mean_is_that_of_scipy():
    generator = np.random.default_rng(5)
    gains = generator.normal(0.1, 1.0, size=120)
    found = compare([cider(gains)], [cider(np.zeros(120))], resamples=4000)["CIDEr"]
    oracle = stats.bootstrap((gains,), np.mean, method="percentile", n_resamples=4000, random_state=0).confidence_interval
    assert (found.low, found.high) == pytest.approx((oracle.low, oracle.high), abs=0.02)
    assert found.p == pytest.approx(stats.ttest_1samp(gains, 0).pvalue, abs=0.05)


def test_equal_captions_do_not_differ_and_much_better_ones_do():
    scorer = CaptionScorer(REFERENCES, ["BLEU", "CIDEr"])
    same = compare([scorer.statistics(GOOD)], [scorer.statistics(GOOD)])
    assert all((difference.value, difference.low, difference.high, difference.p) == (0, 0, 0, 1) for difference in same.values())
    better = compare([scorer.statistics(GOOD)], [scorer.statistics(BAD)])["CIDEr"]
    assert better.value > 0 and better.low > 0 and better.p == 1 / 1000
    worse = compare([scorer.statistics(BAD)], [scorer.statistics(GOOD)])["CIDEr"]
    assert (worse.value, worse.low, worse.high) == pytest.approx((-better.value, -better.high, -better.low))


def test_seeds_are_averaged_and_what_only_one_side_has_is_left_out():
    ours, theirs = [cider([1.0, 2, 3]), cider([3.0, 4, 5])], [cider([1.0, 1, 1])]
    assert compare(ours, theirs)["CIDEr"].value == pytest.approx(2.0)
    both = Statistics({"CIDEr": np.ones((3, 1)), "ROUGE-L": np.ones((3, 1))})
    assert list(compare([both], theirs)) == ["CIDEr"]


def test_spread_by_hand():
    assert Spread.of([1.0, 2.0, 3.0]) == Spread(2.0, 1.0, 3)
    assert Spread.of([0.5]) == Spread(0.5, None, 1)
