"""Additive attention scores against tanh written out, in double precision."""

from __future__ import annotations

import pytest
import torch

from soli.decoders.additive_attention import CACHED, additive_scores, exponentials


def by_tanh(keys, query, weight):
    return (keys.unsqueeze(1) + query.unsqueeze(2)).tanh() @ weight


def scores(keys, query, weight):
    return additive_scores(keys, exponentials(keys), query, weight)


def drawn(num_images, num_keys, num_queries, width, scale=1.0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(7)
    shapes = (num_images, num_keys, width), (num_images, num_queries, width), (width,)
    return [(scale * torch.randn(shape, generator=generator, dtype=torch.float64)).to(dtype).requires_grad_() for shape in shapes]


@pytest.mark.parametrize("scale", [0.1, 1.0, 10.0])
def test_values_and_gradients_equal_those_of_tanh(scale):
    inputs = drawn(3, 7, 2, 5, scale)
    expected = by_tanh(*inputs)
    assert torch.allclose(scores(*inputs), expected, rtol=1e-12, atol=1e-12)
    upstream = torch.randn(expected.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    theirs = torch.autograd.grad(expected, inputs, upstream)
    ours = torch.autograd.grad(scores(*inputs), inputs, upstream)
    for own, other in zip(ours, theirs, strict=True):
        assert torch.allclose(own, other, rtol=1e-9, atol=1e-11)


def test_gradients_equal_finite_differences():
    assert torch.autograd.gradcheck(scores, drawn(2, 4, 3, 5))


def test_images_that_do_not_fit_the_cache_together():
    inputs = drawn(5, 196, 3, 256, dtype=torch.float32)
    assert CACHED < 3 * 196 * 256 * 2  # one image after another
    expected = by_tanh(*(part.double() for part in inputs))
    assert (scores(*inputs) - expected).abs().max() < 1e-4
    ours = torch.autograd.grad(scores(*inputs).square().sum(), inputs)
    theirs = torch.autograd.grad(expected.square().sum(), inputs)
    for own, other in zip(ours, theirs, strict=True):
        assert (own - other).abs().max() < 1e-5 * other.abs().max()


@pytest.mark.parametrize("key, query", [(60.0, 0.0), (-60.0, 0.5), (60.0, 60.0), (-500.0, -500.0), (0.25, 80.0), (45.0, -45.0)])
def test_saturated_scores_are_exact_and_gradients_finite(key, query):
    inputs = [torch.full(shape, value, requires_grad=True) for shape, value in (((1, 1, 4), key), ((1, 1, 4), query), ((4,), 0.5))]
    result = scores(*inputs)
    assert result.item() == pytest.approx(by_tanh(*inputs).item(), abs=1e-6)
    result.sum().backward()
    assert all(part.grad.isfinite().all() for part in inputs)


def test_half_precision_inputs_are_scored_in_single_precision():
    inputs = drawn(2, 6, 3, 8, dtype=torch.bfloat16)
    result = scores(*inputs)
    assert result.dtype == torch.float32
    assert torch.allclose(result.double(), by_tanh(*(part.double() for part in inputs)), atol=1e-5)
    result.sum().backward()
    assert [part.grad.dtype for part in inputs] == [torch.bfloat16] * 3


def test_what_is_kept_for_the_backward_pass_is_no_larger_than_the_keys():
    keys, query, weight = drawn(2, 50, 20, 30, dtype=torch.float32)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor.numel()) or tensor, lambda tensor: tensor):
        scores(keys, query, weight)
    assert kept and max(kept) <= keys.numel()
