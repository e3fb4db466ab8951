"""Retrieval against a ranker by brute force, by hand, and where it cannot be computed."""

import numpy as np
import pytest
import torch

from soli.evaluation import rank_metrics
from soli.evaluation import retrieval as module
from soli.interfaces import SoliError


def brute_force(similarity, owner):
    """Sorts every row and column; of equal ones the true one comes last."""
    by_image = []
    for image, row in enumerate(similarity):
        order = sorted(range(len(row)), key=lambda caption: (-row[caption], owner[caption] == image))
        first = next(place for place, caption in enumerate(order) if owner[caption] == image)
        by_image.append(first)
    by_caption = []
    for caption, column in enumerate(similarity.T):
        order = sorted(range(len(column)), key=lambda image: (-column[image], owner[caption] == image))
        by_caption.append(order.index(owner[caption]))
    scores = {}
    for name, ranks in (("i2t", by_image), ("t2i", by_caption)):
        scores |= {f"{name}_R@{k}": sum(rank < k for rank in ranks) / len(ranks) for k in (1, 5, 10)}
        scores |= {f"{name}_median_rank": int(np.median(ranks)) + 1, f"{name}_mean_rank": sum(ranks) / len(ranks) + 1}
    return scores | {"rsum": sum(value for name, value in scores.items() if "R@" in name)}


@pytest.mark.parametrize("seed", range(200))
def test_it_equals_a_ranker_by_brute_force_with_ties(seed):
    generator = np.random.default_rng(seed)
    num_images = int(generator.integers(1, 25))
    owner = np.concatenate([np.arange(num_images), generator.integers(0, num_images, size=int(generator.integers(0, 60)))])
    generator.shuffle(owner)
    levels = int(generator.integers(1, 30))  # few levels: many ties
    similarity = generator.integers(0, levels, size=(num_images, len(owner))) / levels
    assert rank_metrics(similarity, owner) == pytest.approx(brute_force(similarity, owner))


def test_two_images_by_hand():
    similarity = torch.tensor([[0.9, 0.1, 0.2, 0.8], [0.3, 0.95, 0.7, 0.1]])
    found = rank_metrics(similarity, [0, 0, 1, 1])
    assert found["i2t_R@1"] == 0.5  # image 1 meets caption 1 first
    assert found["t2i_R@1"] == 0.5 and found["t2i_R@5"] == 1 and found["t2i_mean_rank"] == 1.5
    assert found["i2t_mean_rank"] == 1.5 and found["i2t_median_rank"] == 1 and found["rsum"] == 5.0


def test_embeddings_in_one_point_find_nothing():
    found = rank_metrics(np.ones((20, 100)), np.repeat(np.arange(20), 5))
    assert found["i2t_R@10"] == found["t2i_R@10"] == 0 and found["t2i_mean_rank"] == 20 and found["i2t_mean_rank"] == 96


def test_the_parts_in_which_it_looks_change_nothing(monkeypatch):
    similarity = torch.randn(37, 111, generator=torch.Generator().manual_seed(0))
    owner = torch.arange(111) % 37
    whole = rank_metrics(similarity, owner)
    for compared in (1, 250, 1000):
        monkeypatch.setattr(module, "COMPARED", compared)
        assert rank_metrics(similarity, owner) == whole


def test_the_order_of_images_and_captions_does_not_matter():
    generator = torch.Generator().manual_seed(1)
    similarity, owner = torch.randn(9, 30, generator=generator), torch.arange(30) % 9
    images, captions = torch.randperm(9, generator=generator), torch.randperm(30, generator=generator)
    place = torch.empty(9, dtype=torch.long).scatter(0, images, torch.arange(9))
    assert rank_metrics(similarity[images][:, captions], place[owner[captions]]) == pytest.approx(rank_metrics(similarity, owner))


@pytest.mark.parametrize(
    ("similarity", "owner", "message"),
    [
        (torch.randn(3), [0, 1, 2], "shape .3,."),
        (torch.randn(2, 3), [0, 1], "one image for each caption"),
        (torch.ones(2, 3, dtype=torch.long), [0, 1, 1], "give floats"),
        (torch.randn(2, 3), [0.0, 1.0, 1.0], "whole numbers"),
        (torch.randn(2, 3), [0, 1, 2], "names images 0 to 2: there are 0 to 1"),
        (torch.randn(2, 3), [0, 1, -1], "names images -1"),
        (torch.randn(3, 2), [0, 2], "1 images have no caption, the first of them 1"),
        (torch.tensor([[1.0, float("nan")], [0.0, 1.0]]), [0, 1], "NaN"),
        (torch.empty(0, 0), torch.empty(0, dtype=torch.long), "one at least"),
    ],
)
def test_what_cannot_be_ranked_is_one_sentence(similarity, owner, message):
    with pytest.raises(SoliError, match=message):
        rank_metrics(similarity, owner)
