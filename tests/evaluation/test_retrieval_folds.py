"""Ranks of embeddings, at once and in folds: those of the whole matrix of similarities, which is never there."""

import numpy as np
import pytest
import torch

from soli.evaluation import rank_metrics
from soli.evaluation import retrieval as module
from soli.evaluation.comparison import compare
from soli.evaluation.retrieval import rank
from soli.evaluation.retrieval_folds import check_folds, fold_metrics, fold_ranks, owners
from soli.evaluation.retrieval_statistics import RetrievalStatistics
from soli.interfaces import SoliError
from tests.evaluation.test_retrieval import brute_force


def draw(seed, num_images=24, extra=40, levels=2):
    """Embeddings of few whole numbers, so that many similarities are equal, and captions in no order."""
    generator = np.random.default_rng(seed)
    owner = np.concatenate([np.arange(num_images), generator.integers(0, num_images, size=extra)])
    generator.shuffle(owner)
    images, captions = (generator.integers(-levels, levels + 1, size=(rows, 3)).astype(np.float32) for rows in (num_images, len(owner)))
    return torch.from_numpy(images), torch.from_numpy(captions), owner


def averaged(images, captions, owner, fold_size):
    """Brute force, fold by fold."""
    scores = []
    for first in range(0, len(images), fold_size):
        inside = (owner >= first) & (owner < first + fold_size)
        similarity = (images[first : first + fold_size] @ captions[inside].T).numpy()
        scores.append(brute_force(similarity, owner[inside] - first))
    return {name: np.mean([score[name] for score in scores]) for name in scores[0]}


@pytest.mark.parametrize("seed", range(30))
def test_blocks_and_folds_equal_brute_force_with_ties(seed, monkeypatch):
    images, captions, owner = draw(seed)
    whole = rank_metrics(images @ captions.T, owner)
    monkeypatch.setattr(module, "COMPARED", (1, 150, 10_000)[seed % 3])
    monkeypatch.setattr(module, "ROWS", (1, 7, 64)[seed % 3])
    assert fold_metrics(images, captions, owner) == whole == pytest.approx(brute_force((images @ captions.T).numpy(), owner))
    for fold_size in (2, 6, 8, 24):
        assert fold_metrics(images, captions, owner, fold_size) == pytest.approx(averaged(images, captions, owner, fold_size))


@pytest.mark.parametrize("compared", [1, 1000, 20_000, 2**24])
def test_the_size_of_blocks_changes_no_rank_where_sums_round(monkeypatch, compared):
    generator = torch.Generator().manual_seed(0)
    images = torch.nn.functional.normalize(torch.randn(61, 300, generator=generator), dim=1)
    images[30:40] = images[20:30]  # copies of photographs: equal but for rounding
    owner = torch.arange(61).repeat(5)
    captions = torch.nn.functional.normalize(images[owner] + 0.3 * torch.randn(305, 300, generator=generator), dim=1)
    captions[100:120] = captions[161:181]
    monkeypatch.setattr(module, "COMPARED", compared)
    expected = rank_metrics((images.double() @ captions.double().T).float(), owner)
    assert fold_metrics(images, captions, owner) == expected
    assert 0.1 < expected["t2i_R@1"] < 1


def test_a_caption_is_equal_to_itself_even_if_sums_were_to_round_differently(monkeypatch):
    products = module._products
    monkeypatch.setattr(module, "_products", lambda *given: products(*given) + 1e-6)
    ranks = rank(torch.eye(9), torch.eye(9), range(9))
    assert not ranks.images.any() and not ranks.captions.any()


def test_copies_of_a_photograph_are_not_told_apart():
    images = torch.nn.functional.normalize(torch.randn(1, 300, generator=torch.Generator().manual_seed(0)), dim=1).repeat(20, 1)
    found = fold_metrics(images, images.repeat_interleave(5, 0), owners([["a"] * 5] * 20))
    assert found["i2t_R@10"] == found["t2i_R@10"] == 0 and found["t2i_mean_rank"] == 20 and found["i2t_mean_rank"] == 96


def test_ranks_stay_in_the_order_of_images_and_captions():
    images, captions, owner = draw(3)
    ranks = fold_ranks(images, captions, owner, 8)
    for first in (0, 8, 16):
        inside = (owner >= first) & (owner < first + 8)
        alone = rank(images[first : first + 8], captions[inside], owner[inside] - first)
        assert torch.equal(ranks.images[first : first + 8], alone.images)
        assert torch.equal(ranks.captions[torch.from_numpy(inside)], alone.captions.long())


def test_no_block_is_larger_than_it_may_be(monkeypatch):
    monkeypatch.setattr(module, "COMPARED", 2000)
    asked = []

    def count(own, owner, num_images, block):
        return original(own, owner, num_images, lambda rows: asked.append(block(rows)) or asked[-1])

    original = module._count
    monkeypatch.setattr(module, "_count", count)
    images, captions, owner = draw(0, num_images=100, extra=400)
    rank(images, captions, owner)
    assert {tuple(block.shape) for block in asked} == {(4, 500)} and len(asked) == 25


@pytest.mark.parametrize(
    ("number", "fold_size", "message"),
    [
        (24, 0, "at least 2"),
        (24, 1, "fold_size=1 must be at least 2"),
        (24, 25, "more than the 24 photographs"),
        (24, 10, "leave out 4 of the 24 photographs.*dataset.limit=20"),
    ],
)
def test_what_is_no_whole_number_of_folds_is_one_sentence(number, fold_size, message):
    with pytest.raises(SoliError, match=message):
        fold_metrics(*draw(0, num_images=number), fold_size)
    with pytest.raises(SoliError, match="fewer than two photographs"):
        check_folds(1, None)


@pytest.mark.parametrize(
    ("images", "captions", "owner", "message"),
    [
        (torch.randn(2, 3), torch.randn(2, 4), [0, 1], r"shape \(2, 3\), captions \(2, 4\)"),
        (torch.randn(2, 3), torch.randn(2, 3), [0], "one image for each caption"),
        (torch.randn(2), torch.randn(2, 3), [0, 1], "give embeddings"),
        (torch.full((2, 3), torch.nan), torch.randn(2, 3), [0, 1], "embeddings of images have NaN"),
        (torch.randn(2, 3), torch.full((2, 3), torch.inf), [0, 1], "embeddings of captions have NaN or infinite"),
        (torch.ones(2, 3, dtype=torch.long), torch.randn(2, 3), [0, 1], "give finite floats"),
        (torch.randn(4, 3), torch.randn(3, 3), [0, 1, 2], "1 images have no caption, the first of them 3"),
        (torch.randn(4, 3), torch.randn(4, 3), [0, 1, 2, 4], "names images 0 to 4"),
    ],
)
@pytest.mark.parametrize("fold_size", [None, 2])
def test_embeddings_that_cannot_be_ranked_are_one_sentence(images, captions, owner, message, fold_size):
    with pytest.raises(SoliError, match=message):
        fold_metrics(images, captions, owner, fold_size)


@pytest.mark.parametrize("fold_size", [None, 8])
def test_statistics_of_photographs_add_up_to_the_scores(fold_size):
    images, captions, owner = draw(5)
    statistics = RetrievalStatistics.of(fold_ranks(images, captions, owner, fold_size), owner, fold_size)
    expected = fold_metrics(images, captions, owner, fold_size)
    assert statistics.scores() == expected
    whole = statistics.resampled(np.ones((1, 24)))
    assert {name: values[0] for name, values in whole.items()} == pytest.approx({name: expected[name] for name in whole})
    assert expected.keys() - whole.keys() == {"i2t_median_rank", "t2i_median_rank"}


def test_a_resample_counts_photographs_as_often_as_they_were_drawn():
    images, captions, owner = draw(6)
    ranks = fold_ranks(images, captions, owner)
    counts = np.random.default_rng(0).multinomial(24, np.full(24, 1 / 24), size=3)
    found = RetrievalStatistics.of(ranks, owner).resampled(counts.astype(float))
    for row, drawn in enumerate(counts):
        of_images = np.repeat(ranks.images.numpy(), drawn)
        of_captions = np.repeat(ranks.captions.numpy(), drawn[owner])
        assert found["i2t_R@5"][row] == pytest.approx((of_images < 5).mean())
        assert found["t2i_R@5"][row] == pytest.approx((of_captions < 5).mean())
        assert found["t2i_mean_rank"][row] == pytest.approx(of_captions.mean() + 1)
        parts = [(of_one < k).mean() for of_one in (of_images, of_captions) for k in (1, 5, 10)]
        assert found["rsum"][row] == pytest.approx(sum(parts))


def test_a_better_model_differs_and_the_same_one_does_not():
    images, captions, owner = draw(7)
    worse = RetrievalStatistics.of(fold_ranks(images, captions, owner), owner)
    better = RetrievalStatistics.of(fold_ranks(torch.eye(24), torch.eye(24)[owner], owner), owner)
    difference = compare([better], [worse], resamples=200)["t2i_R@1"]
    assert difference.value == pytest.approx(1 - worse.scores()["t2i_R@1"]) and difference.low > 0
    assert compare([worse], [worse], resamples=200)["rsum"].low == 0
