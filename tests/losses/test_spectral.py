"""Spectral regularisation against numpy's eigenvalues of F'F, and closed forms."""

import numpy as np
import pytest
import torch

from soli.interfaces import SoliError
from soli.losses import SpectralLoss


def largest_eigenvalue(features):
    """Of F'F, F the centred (N, E)."""
    features = np.asarray(features, dtype=np.float64)
    centred = features - features.mean(0)
    return np.linalg.eigvalsh(centred.T @ centred)[-1]


@pytest.mark.parametrize("shape", [(8, 3), (3, 8), (5, 5), (2, 1)])
def test_it_is_the_largest_eigenvalue_of_the_centred_gram_matrix(shape):
    features = torch.randn(shape, dtype=torch.float64) * torch.linspace(1, 3, shape[1]) + 5
    assert SpectralLoss(0)(features, 0).item() == pytest.approx(largest_eigenvalue(features))


def test_two_points_have_half_of_their_squared_distance():
    assert SpectralLoss(0)(torch.tensor([[1.0, 2, 3], [4, 2, 7]]), 0).item() == pytest.approx(25 / 2)


def test_a_cross_has_the_sum_of_squares_along_its_longer_arm():
    assert SpectralLoss(0)(torch.tensor([[2.0, 0], [-2, 0], [0, 3], [0, -3]]) + 100, 0).item() == pytest.approx(18, rel=1e-5)


def test_places_are_averaged_first():
    tokens = torch.randn(6, 4, 3, dtype=torch.float64)
    assert SpectralLoss(0)(tokens, 0).item() == pytest.approx(largest_eigenvalue(tokens.numpy().mean(1)))


def test_it_grows_with_the_square_of_the_scale_and_with_the_batch_and_not_by_shifts():
    features, loss = torch.randn(6, 4, dtype=torch.float64), SpectralLoss(0)
    value = loss(features, 0).item()
    assert loss(3 * features - 7, 0).item() == pytest.approx(9 * value)
    assert loss(torch.cat([features, features]), 0).item() == pytest.approx(2 * value)
    assert loss(features[[3, 0, 5, 1, 4, 2]], 0).item() == pytest.approx(value)


@pytest.mark.parametrize(("warmup", "weights"), [(4, [0.25, 0.5, 0.75, 1, 1, 1]), (1, [1, 1]), (0, [1, 1]), (10, [0.1, 0.2])])
def test_the_weight_grows_to_1_over_the_warm_up(warmup, weights):
    features = torch.randn(6, 4, dtype=torch.float64)
    values = [SpectralLoss(warmup)(features, epoch).item() for epoch in range(len(weights))]
    assert values == pytest.approx([weight * largest_eigenvalue(features) for weight in weights])


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 2, 3)])
def test_gradients_agree_with_differences(shape):
    features = torch.randn(shape, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda features: SpectralLoss(10)(features, 3), (features,))


def test_descending_it_takes_from_the_widest_direction_alone():
    """The gradient is 2 u u' F, of the first principal direction u: none across it."""
    features = torch.tensor([[2.0, 0], [-2, 0], [0, 3], [0, -3]], requires_grad=True)
    SpectralLoss(0)(features, 0).backward()
    assert torch.allclose(features.grad, torch.tensor([[0.0, 0], [0, 0], [0, 6], [0, -6]]), atol=1e-5)


@pytest.mark.parametrize("number", [1, 3])
def test_photographs_in_one_point_cost_nothing_and_have_a_gradient(number):
    features = torch.ones(number, 4, requires_grad=True)
    loss = SpectralLoss(0)(features, 0)
    loss.backward()
    assert loss.item() == 0 and torch.equal(features.grad, torch.zeros(number, 4))


@pytest.mark.parametrize("warmup", [-1, -10])
def test_a_negative_warm_up_is_refused(warmup):
    with pytest.raises(SoliError, match=r"spectral\.warmup_epochs=.* 0 or more"):
        SpectralLoss(warmup)
