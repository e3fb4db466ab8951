"""Clustered negatives (CMNS): whose members and which virtual points a query gets, and the objective that spreads the points."""

import math
from random import Random

import pytest
import torch
from torch.nn import functional

from soli.interfaces import Queries, SoliError
from soli.negatives import Clustered, InBatch
from soli.negatives.clustered import spread


def step(vectors, keys, candidates=None, candidate_keys=None, draw=0, direction="other"):
    """Candidates are the queries themselves, where nothing else is said."""
    generators = [Random(f"{draw}/{row}") for row in range(len(vectors))]
    others = (vectors, keys) if candidates is None else (candidates, candidate_keys)
    return Queries(direction, torch.tensor(keys), torch.tensor(others[1]), generators, vectors, others[0])


def angles(*degrees):
    return torch.tensor([[math.cos(math.radians(angle)), math.sin(math.radians(angle))] for angle in degrees])


def filled(**settings):
    """Three queues of two around 0, 90 and 180 degrees, with lengths 2, 1 and 3; photograph 4 has members in two of them."""
    negatives = Clustered(3, 2, **settings)
    negatives.choose(step(torch.cat([2 * angles(0), angles(88), 3 * angles(179)]), [1, 2, 3]))
    negatives.choose(step(torch.cat([2 * angles(2), angles(92)]), [4, 4]))
    return negatives


def test_the_second_clusters_members_are_the_negatives_but_those_of_the_querys_own_photograph():
    negatives = filled(virtual=0, weight=0.7)
    queries = step(angles(10, 60, 120, 170, 75), [5, 6, 4, 7, 1])
    chosen = negatives.choose(queries)
    assert torch.equal(chosen.weights, InBatch().choose(queries).weights)
    low, middle, high = torch.cat([2 * angles(0, 2)]), angles(88, 92), torch.cat([3 * angles(179), torch.zeros(1, 2)])
    assert torch.allclose(chosen.outside, torch.stack([middle, low, high, middle, low]))
    expected = torch.tensor([[0.7, 0.7], [0.7, 0.7], [0.7, 0], [0.7, 0.7], [0, 0.7]])  # photograph 1 is among the low; a place is empty
    assert torch.allclose(chosen.outside_weights, expected)
    centroids = torch.stack([low.mean(0), middle.mean(0), high[0]])
    assert torch.allclose(chosen.clusters[0], centroids[[0, 1, 1, 2, 1]]) and torch.allclose(chosen.clusters[1], centroids[[1, 0, 2, 1, 0]])


def test_members_of_the_querys_own_photograph_are_left_out_also_when_that_is_all():
    chosen = filled(virtual=0).choose(step(angles(100, 60), [3, 4]))
    assert chosen.outside_weights.tolist() == [[0, 0], [1, 0]]


def test_the_steps_own_candidates_are_in_no_queue_yet():
    negatives = filled(virtual=0)
    vectors = angles(1, 89, 178)
    chosen = negatives.choose(step(vectors, [11, 12, 13]))
    assert not any((chosen.outside == vector).all(-1).any() for vector in vectors)
    again = negatives.choose(step(angles(91), [14])).outside  # the second is at 180, by one degree
    assert torch.allclose(again[0], torch.stack([3 * angles(179)[0], vectors[2]]))


def test_before_two_queues_have_members_only_the_step_has_negatives():
    negatives, one = Clustered(3, 2, virtual=2), torch.ones(1, 2)
    for vectors, keys, candidates in [(one, [0], one), (one.expand(2, 2), [0, 1], one)]:
        chosen = negatives.choose(step(vectors, keys, candidates, [9]))
        assert chosen.outside is None and chosen.outside_weights is None and chosen.clusters is None
        assert chosen.weights.tolist() == [[1.0]] * len(keys)
    assert negatives.choose(step(one, [0], one, [9])).outside.shape == (1, 2 + 2, 2)


def test_each_direction_has_queues_of_its_own():
    negatives = filled()
    assert negatives.choose(step(angles(0, 90), [1, 2], direction="anchor")).outside is None
    assert negatives.choose(step(angles(0, 90), [1, 2])).outside is not None


def test_virtual_points_lie_around_the_second_centroid_as_long_as_its_members():
    queries, counts = step(angles(10, 60, 120, 170), [5, 6, 7, 8]), {"virtual": 4, "uniformity_steps": 0}
    exact = filled(noise=0.0, **counts).choose(queries).outside[:, 2:]
    centres = torch.cat([angles(90), 2 * angles(1), 3 * angles(179), angles(90)])
    assert torch.allclose(exact, centres[:, None].expand(4, 4, 2), atol=1e-6)
    noisy = filled(noise=0.05, **counts).choose(queries)
    points = noisy.outside[:, 2:]
    assert torch.equal(noisy.outside_weights[:, 2:], torch.ones(4, 4))
    assert torch.allclose(points.norm(dim=-1), centres.norm(dim=-1)[:, None].expand(4, 4), rtol=1e-5)
    assert functional.cosine_similarity(points, centres[:, None], dim=-1).min() > math.cos(5 * 0.05)
    assert len(points[0].unique(dim=0)) == 4
    apart = filled(noise=0.05, virtual=4, uniformity_steps=5, uniformity_rate=0.1).choose(queries).outside[:, 2:]
    assert (torch.pdist(apart[0]).mean() > torch.pdist(points[0]).mean()).all()


@pytest.mark.parametrize("noise", [0.01, 0.1])
def test_the_noise_is_a_standard_deviation_in_each_dimension_of_the_unit_sphere(noise):
    """Across the centroid, where normalising changes little: 9 dimensions of 10, 4,000 points."""
    negatives = Clustered(2, 1, virtual=4000, noise=noise, uniformity_steps=0)
    negatives.choose(step(torch.eye(10)[:2], [0, 1]))
    points = negatives.choose(step(torch.eye(10)[:1], [2])).outside[0, 1:]
    across = torch.cat([points[:, :1], points[:, 2:]], dim=1)
    assert across.std().item() == pytest.approx(noise, rel=0.06) and abs(across.mean().item()) < 4 * noise / 180


def test_the_virtual_points_of_a_step_are_those_of_its_first_generator():
    queries = [step(angles(10, 60), [5, 6], draw=draw) for draw in (1, 1, 2)]
    first, again, other = (filled(noise=0.1).choose(given).outside for given in queries)
    assert torch.equal(first, again) and not torch.equal(first, other)


def uniformity(points):
    """log of the mean over pairs of different points of exp(-2 d^2), in sets of points; the sum over the sets."""
    distances = (points.unsqueeze(-2) - points.unsqueeze(-3)).square().sum(-1)
    others = ~torch.eye(points.shape[-2], dtype=torch.bool)
    return torch.exp(-2 * distances)[..., others].mean(-1).log().sum()


def on_sphere(*shape):
    return functional.normalize(torch.randn(*shape, dtype=torch.float64), dim=-1)


@pytest.mark.parametrize("shape", [(6, 3), (2, 4), (4, 5, 3)])
@pytest.mark.parametrize("rate", [0.01, 0.5])
def test_a_step_of_spreading_is_one_of_gradient_descent_and_back_to_the_sphere(shape, rate):
    points = on_sphere(*shape).requires_grad_()
    (gradient,) = torch.autograd.grad(uniformity(points), points)
    expected = functional.normalize(points - rate * gradient, dim=-1)
    assert torch.allclose(spread(points.detach(), 1, rate), expected)
    (gradient,) = torch.autograd.grad(uniformity(expected := expected.detach().requires_grad_()), expected)
    assert torch.allclose(spread(points.detach(), 2, rate), functional.normalize(expected - rate * gradient, dim=-1))


def test_spreading_makes_points_more_uniform_from_step_to_step_until_they_are():
    points = functional.normalize(torch.tensor([1.0, 0, 0], dtype=torch.float64) + 0.1 * torch.randn(4, 3, dtype=torch.float64), dim=-1)
    values = [uniformity(spread(points, steps, 0.1)).item() for steps in range(30)]
    assert values == sorted(values, reverse=True) and values[0] - values[-1] > 0.5
    tetrahedron = spread(points, 2000, 0.1)
    cosines = tetrahedron @ tetrahedron.T
    assert torch.allclose(cosines[~torch.eye(4, dtype=torch.bool)], torch.tensor(-1 / 3, dtype=torch.float64), atol=1e-4)


def test_one_point_and_none_have_nothing_to_be_spread_from():
    for number in (0, 1):
        points = on_sphere(3, number, 4)
        assert torch.equal(spread(points, 5, 0.1), points)
    assert filled(virtual=1).choose(step(angles(10), [5])).outside.shape == (1, 3, 2)


def test_a_state_continues_bit_for_bit():
    directions = "captions for R0.5S1", "photographs, clean/R0.1"

    def go(negatives, steps):
        chosen = []
        for number in steps:
            torch.manual_seed(number)
            vectors, keys = torch.randn(6, 4), [Random(number + place).randrange(9) for place in range(6)]
            chosen += [negatives.choose(step(vectors, keys, draw=number, direction=one)) for one in directions]
        return chosen

    first, again = Clustered(3, 4, virtual=3), Clustered(3, 4, virtual=3)
    go(first, range(4))
    again.load_state_dict({name: value.clone() for name, value in first.state_dict().items()})
    for one, other in zip(go(first, range(4, 8)), go(again, range(4, 8)), strict=True):
        assert torch.equal(one.outside, other.outside) and torch.equal(one.outside_weights, other.outside_weights)
        assert torch.equal(one.clusters[0], other.clusters[0])
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in first.state_dict().items())
    assert again.state_dict().keys() == first.state_dict().keys() and len(again.state_dict()) == 8


BAD = {
    "num_clusters": [1, 0],
    "length": [0],
    "weight": [-0.1, math.inf, math.nan],
    "virtual": [-1],
    "noise": [-0.1, math.inf, math.nan],
    "uniformity_steps": [-1],
    "uniformity_rate": [-0.1, math.inf, math.nan],
    "false_negative_weight": [-0.1, math.inf, math.nan],
    "margins": [(0.1,), (0.1, 2.1), (math.nan, 0.1), (0.1, 0.1, 0.1)],
}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in BAD.items() for value in values])
def test_values_out_of_range_are_refused(key, value):
    with pytest.raises(SoliError, match=rf"negatives\.{key}=.* must be"):
        Clustered(**{key: value})


def test_more_queues_than_candidates_are_refused():
    with pytest.raises(SoliError, match=r"negatives\.num_clusters=8, but there are 7 candidates \(anchor\)"):
        Clustered(8).prepare({"other": 8, "anchor": 7}, 10)
    Clustered(8).prepare({"other": 8}, 10)
