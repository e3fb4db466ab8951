"""The bidirectional margin loss, Eq. 5 of CMNS, against a loop written out by hand, closed forms and finite differences."""

import math

import pytest
import torch

from soli.losses import BidirectionalMarginLoss

COUNTS = 7, 5


def cosine(one, other):
    one, other = one.tolist(), other.tolist()
    return sum(a * b for a, b in zip(one, other, strict=True)) / math.hypot(*one) / math.hypot(*other)


def parts():
    """Queries, their own, and both centroids."""
    return torch.randn(4, *COUNTS, dtype=torch.float64)


@pytest.mark.parametrize(("alpha", "beta"), [(0.1, 0.1), (0.7, -0.2), (-2, 2), (0, 0)])
def test_the_loss_is_the_loop_of_eq_5(alpha, beta):
    queries, own, nearest, second = parts()
    total = 0.0
    for x, positive, first, other in zip(queries, own, nearest, second, strict=True):
        first_difference = cosine(first, x) - cosine(positive, x)
        second_difference = cosine(other, x) - cosine(first, x)
        total += max(first_difference + alpha, 0.0) + max(second_difference + beta, 0.0)
    assert BidirectionalMarginLoss(alpha, beta)(queries, own, nearest, second).item() == pytest.approx(total / len(queries))


@pytest.mark.parametrize(
    ("to_own", "to_nearest", "to_second", "expected"),
    [
        (1.0, 0.6, 0.0, 0.0),  # in order, and far enough apart
        (1.0, 0.6, 0.5, 0.1),  # within beta of the second
        (0.8, 0.7, 0.0, 0.2),  # within alpha of its own
        (0.0, 0.8, 1.0, 1.1 + 0.4),  # the other way round
        (0.5, 0.5, 0.5, 0.3 + 0.2),  # all alike: both margins
    ],
)
def test_closed_forms_with_margins_of_3_and_2_tenths(to_own, to_nearest, to_second, expected):
    def at(value):
        return torch.tensor([[value, math.sqrt(1 - value**2)]])

    loss = BidirectionalMarginLoss(0.3, 0.2)
    assert loss(torch.tensor([[3.0, 0]]), at(to_own), 5 * at(to_nearest), at(to_second)).item() == pytest.approx(expected, abs=1e-6)


def test_lengths_and_the_order_of_queries_change_nothing_and_each_role_does():
    given, loss, order = parts(), BidirectionalMarginLoss(), [4, 2, 6, 0, 1, 3, 5]
    value = loss(*given).item()
    assert loss(*(part[order] * (torch.rand(7, 1) + 0.5) for part in given)).item() == pytest.approx(value)
    for roles in ([0, 2, 1, 3], [0, 1, 3, 2], [1, 0, 2, 3], [0, 3, 2, 1]):
        assert loss(*(given[role] for role in roles)).item() != pytest.approx(value, rel=1e-3)


def test_gradients_agree_with_differences():
    inputs = tuple(part.clone().requires_grad_() for part in parts())
    assert torch.autograd.gradcheck(BidirectionalMarginLoss(0.1, 0.3), inputs)


def test_a_query_between_its_own_and_its_cluster_is_drawn_to_its_own():
    query = torch.tensor([[0.0, 1.0]], requires_grad=True)
    BidirectionalMarginLoss(0.1, -2)(query, torch.tensor([[1.0, 1]]), torch.tensor([[-1.0, 1]]), torch.tensor([[0.0, -1]])).backward()
    assert query.grad[0, 0] < 0 and query.grad[0, 1].abs() < 1e-6
