"""What is compared: shapes of every combination, and what each choice does to the numbers."""

import itertools

import pytest
import torch

from soli.embedding import PROJECTORS, Embedding

COMBINATIONS = list(itertools.product(["mean", "none"], PROJECTORS, [False, True]))


@pytest.fixture
def features():
    return torch.randn(3, 7, 10)


def test_all_projectors_are_tested_here():
    assert PROJECTORS == ("none", "linear", "mlp")


@pytest.mark.parametrize(("pooling", "projector", "normalize"), COMBINATIONS)
def test_shapes_lengths_and_gradients_of_every_combination(features, pooling, projector, normalize):
    embedding = Embedding(10, pooling, projector, dim=6, normalize=normalize)
    embeddings = embedding(features.requires_grad_())
    places, width = () if pooling == "mean" else (7,), 10 if projector == "none" else 6
    assert embeddings.shape == (3, *places, width)
    assert torch.allclose(embeddings.norm(dim=-1), torch.ones(3, *places)) == normalize
    embeddings.square().sum(-1).add(embeddings[..., 0]).sum().backward()
    for values in (features, *embedding.parameters()):
        assert values.grad.isfinite().all() and values.grad.abs().sum() > 0


def test_the_default_is_the_mean_over_places(features):
    assert torch.equal(Embedding(10)(features), features.mean(1))


def test_without_pooling_and_projector_features_stay_as_they_are(features):
    assert torch.equal(Embedding(10, pooling="none")(features), features)


def test_features_are_normalised_after_the_mean_and_not_before(features):
    mean = features.mean(1)
    assert torch.allclose(Embedding(10, normalize=True)(features), mean / mean.norm(dim=1, keepdim=True))


def test_a_linear_projector_is_one_matrix_without_a_bias(features):
    embedding = Embedding(10, projector="linear", dim=6)
    (matrix,) = embedding.parameters()
    assert matrix.shape == (6, 10)
    assert torch.allclose(embedding(features), features.mean(1) @ matrix.T, atol=1e-6)
    assert not embedding(torch.zeros(3, 7, 10)).any()


def test_an_mlp_has_a_hidden_layer_as_wide_as_the_features_and_is_not_linear(features):
    embedding = Embedding(10, "none", "mlp", dim=6)
    assert [tuple(weights.shape) for weights in embedding.parameters()] == [(10, 10), (10,), (6, 10), (6,)]
    first, first_bias, second, second_bias = embedding.parameters()
    assert torch.allclose(embedding(features), (features @ first.T + first_bias).clamp(min=0) @ second.T + second_bias, atol=1e-6)


@pytest.mark.parametrize("projector", ["linear", "mlp"])
def test_each_place_is_projected_by_itself(features, projector):
    embedding = Embedding(10, "none", projector, dim=6)
    assert torch.allclose(embedding(features)[:, 2:3], embedding(features[:, 2:3]), atol=1e-6)


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("pooling", ["mean", "none"])
def test_no_projector_has_no_parameters(pooling, normalize):
    assert not Embedding(10, pooling, normalize=normalize).state_dict()


@pytest.mark.parametrize("choice", [{"pooling": "max"}, {"projector": "conv"}])
def test_unknown_choices_stop(choice):
    with pytest.raises(AssertionError):
        Embedding(10, **choice)
