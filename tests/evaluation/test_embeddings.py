"""Distances of embeddings against plain loops, and their ratio where something is nought."""

import math

import numpy as np
import pytest
import torch

from soli.evaluation.embeddings import EmbeddingDistances, embedding_distances, mean_distance


def length(vector):
    return math.sqrt(sum(float(value) ** 2 for value in vector))


def test_distances_are_plain_loops():
    original = torch.randn(9, 5)
    copies = {"R0.5S1": original + 0.1 * torch.randn(9, 5), "R0.2S50": original + torch.randn(9, 5)}
    found, points = embedding_distances(original, copies), original.numpy()
    for condition, copy in copies.items():
        assert found.copies[condition] == pytest.approx(sum(map(length, copy.numpy() - points)) / 9, rel=1e-5)
    apart = [length(points[i] - points[j]) for i in range(9) for j in range(9) if i != j]
    assert found.other == pytest.approx(sum(apart) / len(apart), rel=1e-5)
    assert found.std == pytest.approx(np.mean([np.std(points[:, entry]) for entry in range(5)]), rel=1e-5)
    assert list(found.copies) == ["R0.5S1", "R0.2S50"]


def test_distances_of_a_square_by_hand():
    """Corners of a square of side 2, and a copy moved by (3, 4)."""
    original = torch.tensor([[0.0, 0], [2, 0], [0, 2], [2, 2]])
    found = embedding_distances(original, {"moved": original + torch.tensor([3.0, 4])})
    assert found.copies == {"moved": 5.0} and found.std == 1
    assert found.other == pytest.approx((4 * 2 + 2 * math.sqrt(8)) / 6)
    assert found.ratio == pytest.approx(found.other / 5)


def test_copies_are_compared_row_by_row():
    original = torch.randn(9, 5)
    assert embedding_distances(original, {"other order": original.roll(1, 0)}).copies["other order"] > 1


@pytest.mark.parametrize(
    ("copies", "other", "expected"),
    [
        ({"mild": 0.5, "worst": 2.0, "middle": 1.0}, 3.0, 1.5),
        ({"only": 4.0}, 1.0, 0.25),
        ({"still": 0.0, "moved": 2.0}, 3.0, 1.5),
        ({"still": 0.0}, 3.0, None),
        ({}, 3.0, None),
        ({"moved": 2.0}, 0.0, 0.0),
        ({"still": 0.0}, 0.0, None),
        ({}, 0.0, None),
    ],
)
def test_the_ratio_is_that_of_the_worst_condition(copies, other, expected):
    assert EmbeddingDistances(copies, other, std=1.0).ratio == expected


def test_embeddings_in_one_point_have_collapsed():
    point = torch.randn(5).expand(6, 5)
    found = embedding_distances(point, {"R0.5S1": point.clone()})
    assert found == EmbeddingDistances({"R0.5S1": 0.0}, 0.0, 0.0) and found.ratio is None


def test_no_copies_and_one_photograph():
    found = embedding_distances(torch.randn(6, 5), {})
    assert found.copies == {} and found.other > 0 and found.ratio is None
    assert embedding_distances(torch.randn(1, 5), {}) == EmbeddingDistances({}, 0.0, 0.0)


def test_one_row_lies_at_no_distance_and_two_at_theirs():
    assert mean_distance(torch.randn(1, 5)) == 0
    assert mean_distance(torch.tensor([[1.0, 1], [4, 5]])) == 5
