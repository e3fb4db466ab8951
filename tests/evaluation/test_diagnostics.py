"""Diagnostics of embeddings against plain loops, by hand, and where they have nothing to say."""

import math

import numpy as np
import pytest
import torch

from soli.evaluation.diagnostics import ANOTHER, ROWS, diagnose, pc_id


def normal(*shape, seed=0, scale=1.0):
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def distance(one, other):
    return math.sqrt(sum((float(a) - float(b)) ** 2 for a, b in zip(one, other, strict=True)))


def test_everything_equals_plain_loops():
    original = normal(15, 6)
    copies = {"mild": original + normal(15, 6, seed=1, scale=0.3), "strong": original + normal(15, 6, seed=2, scale=1.5)}
    found = diagnose(original, copies)
    nearest = [min(distance(a, b) for j, b in enumerate(original) if i != j) for i, a in enumerate(original)]
    worst = [max(distance(copy[i], original[i]) for copy in copies.values()) for i in range(15)]
    assert found["found"] == pytest.approx(sum(w < n for w, n in zip(worst, nearest, strict=True)) / 15)
    for name, copy in copies.items():
        ranks = [sum(distance(copy[i], other) < distance(copy[i], original[i]) for other in original) for i in range(15)]
        entry = found["conditions"][name]
        assert [entry[f"R@{k}"] for k in (1, 5, 10)] == [pytest.approx(sum(rank < k for rank in ranks) / 15) for k in (1, 5, 10)]
        units = [(vector / vector.norm() for vector in pair) for pair in zip(copy, original, strict=True)]
        assert entry["alignment"] == pytest.approx(sum(distance(*pair) ** 2 for pair in units) / 15, rel=1e-5)
    units = [vector / vector.norm() for vector in original]
    kernel = [math.exp(-2 * distance(a, b) ** 2) for i, a in enumerate(units) for j, b in enumerate(units) if i != j]
    assert found["uniformity"] == pytest.approx(math.log(sum(kernel) / len(kernel)), rel=1e-5)
    matrix = dict(zip(found["matrix"]["names"], found["matrix"]["values"], strict=True))
    assert list(matrix) == ["original", "mild", "strong", ANOTHER]
    assert matrix["mild"][2] == pytest.approx(sum(distance(a, b) for a, b in zip(*copies.values(), strict=True)) / 15, rel=1e-5)
    apart = [distance(copies["strong"][i], original[j]) for i in range(15) for j in range(15) if i != j]
    assert matrix["strong"][3] == matrix[ANOTHER][2] == pytest.approx(sum(apart) / len(apart), rel=1e-5)
    assert found["distance_to_others"] == pytest.approx(matrix[ANOTHER][0], rel=1e-6)
    assert found["conditions"]["strong"]["distance"] == pytest.approx(matrix["original"][2], rel=1e-6)


def test_more_photographs_than_are_compared_at_once():
    original = normal(ROWS + 30, 3)
    copy = original + normal(ROWS + 30, 3, seed=1, scale=0.1)
    table = torch.cdist(copy.double(), original.double())
    first = (table.argmin(1) == torch.arange(len(copy))).double().mean().item()
    entry = diagnose(original, {"copy": copy})
    assert entry["conditions"]["copy"]["R@1"] == pytest.approx(first) and 0.3 < first < 0.99
    apart = torch.cdist(original.double(), original.double())
    apart.fill_diagonal_(torch.inf)
    near = (copy.double() - original.double()).norm(dim=1) < apart.amin(1)
    assert entry["found"] == pytest.approx(near.double().mean().item())


def test_collapsed_embeddings_are_not_found_again():
    entry = diagnose(torch.ones(20, 4), {"copy": torch.ones(20, 4)})
    assert entry["found"] == 0 and entry["pc_id"] == 0 and entry["scatter"] is None and entry["ratio"] is None
    assert entry["conditions"]["copy"]["R@10"] == 0  # all are equally near
    assert entry["uniformity"] == pytest.approx(0, abs=1e-9)


def test_one_photograph_and_no_copies():
    entry = diagnose(normal(1, 4), {"copy": normal(1, 4, seed=1)})
    assert entry["matrix"]["names"] == ["original", "copy"] and entry["uniformity"] is None and entry["scatter"] is None
    assert entry["ratio"] is None and entry["found"] is None
    assert diagnose(normal(5, 4), {})["conditions"] == {}


@pytest.mark.parametrize(
    ("scales", "share", "expected"), [((3, 1, 0, 0), 0.9, 1), ((3, 1, 0, 0), 0.91, 2), ((1, 1, 1, 1), 0.9, 4), ((1, 1, 1, 1), 0.5, 2)]
)
def test_number_of_principal_components_by_hand(scales, share, expected):
    """Points at +-scale on each axis: variances are the squares."""
    points = torch.cat([torch.diag(torch.tensor(scales, dtype=torch.float64)) * sign for sign in (1, -1)])
    assert pc_id(points, share) == expected


def test_scatter_is_on_the_main_axes():
    original = normal(50, 5) * torch.tensor([9.0, 4, 1, 1, 1])
    found = diagnose(original, {"copy": original + 1}, num_drawn=7)["scatter"]
    values = np.linalg.eigvalsh(np.cov(original.numpy().T, bias=True))[::-1]
    assert found["explained"] == pytest.approx((values / values.sum())[:2].tolist(), rel=1e-4)
    points = np.array(found["points"])
    assert points.shape == (7, 2, 2) and found["conditions"] == ["original", "copy"]
    centered = original - original.mean(0)
    assert np.abs(points[:, 0, 0]) == pytest.approx(
        np.abs((centered @ torch.linalg.eigh(centered.T @ centered)[1][:, -1])[:7].numpy()), rel=1e-3
    )
