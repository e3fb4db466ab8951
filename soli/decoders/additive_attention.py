"""Additive attention scores, v . tanh(k_l + q) (arXiv 1409.0473, Appendix A.1.2), for many queries q over the same keys k_l.

With tanh(k + q) = 1 - 2 / (1 + e^2k e^2q), the exponentials of the keys are taken once for all queries, and a score costs a product and a
reciprocal where it cost a tanh. Nothing of size (queries x keys x width) outlives a call: the backward pass computes it again, and a CPU
takes few images at a time, which its cache can hold.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

CACHED = 2**18  # numbers that stay in a core's cache between two operations
LARGEST = 43.0  # e^(2 * 43) is still finite in float32


def exponentials(values: Tensor) -> Tensor:
    """e^2x, in single precision at least, |x| cut off at 43: scores are exact unless k and q exceed that with opposite signs.

    It has no gradient: `additive_scores` has that of x itself.
    """
    exact = values.detach().to(torch.promote_types(values.dtype, torch.float32))
    return (2 * exact.clamp(-LARGEST, LARGEST)).exp_()


def additive_scores(keys: Tensor, key_exponentials: Tensor, query: Tensor, weight: Tensor) -> Tensor:
    """keys (N, L, A), their `exponentials`, query (N, C, A), weight v (A,) -> scores (N, C, L) in the exponentials' precision.

    Differentiable once, by keys, query and weight.
    """
    return _AdditiveScores.apply(keys, key_exponentials, query, weight)


class _AdditiveScores(torch.autograd.Function):
    @staticmethod
    def forward(ctx, keys: Tensor, key_exponentials: Tensor, query: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(key_exponentials, query, weight)
        ctx.keys_dtype = keys.dtype
        exact = weight.to(key_exponentials.dtype)
        scores = key_exponentials.new_empty(*query.shape[:2], keys.shape[1])
        for rows, reciprocals in _reciprocals(key_exponentials, exponentials(query)):
            torch.matmul(reciprocals, exact, out=scores[rows])
        return scores.mul_(-2).add_(exact.sum())

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor):
        key_exponentials, query, weight = ctx.saved_tensors
        exact = weight.to(key_exponentials.dtype)
        by_key = torch.empty_like(key_exponentials)
        by_query = key_exponentials.new_empty(query.shape)
        by_weight = gradient.sum().expand_as(exact).clone()
        for rows, reciprocals in _reciprocals(key_exponentials, exponentials(query)):
            some = gradient[rows].unsqueeze(-1)  # (n, C, L, 1)
            by_weight -= 2 * (reciprocals.flatten(0, 2).t() @ some.flatten())
            slopes = torch.addcmul(reciprocals, reciprocals, reciprocals, value=-1)  # (1 - tanh^2) / 4, (n, C, L, A)
            by_query[rows] = (some.transpose(2, 3) @ slopes).squeeze(2)
            if query.shape[1] == 1:  # a sum of one would write it once more
                torch.mul(slopes.squeeze(1), some.squeeze(1), out=by_key[rows])
            else:
                torch.sum(slopes.mul_(some), dim=1, out=by_key[rows])
        scale = 4 * exact
        return by_key.mul_(scale).to(ctx.keys_dtype), None, by_query.mul_(scale).to(query.dtype), by_weight.to(weight.dtype)


def _reciprocals(keys: Tensor, query: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """1 / (1 + e^2k e^2q), (n, C, L, A), for a few images after another, with the slice of their indices."""
    rows = len(keys)
    if keys.device.type == "cpu":
        rows = max(1, CACHED // (query.shape[1] * keys[0].numel()))
    one = keys.new_ones(())
    for first in range(0, len(keys), rows):
        some = slice(first, first + rows)
        yield some, torch.addcmul(one, keys[some].unsqueeze(1), query[some].unsqueeze(2)).reciprocal_()
