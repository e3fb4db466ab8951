"""Products that every word repeats with the same matrix (Linear layers, the LSTM's, attention over features): one gradient for all words.

Autograd adds up a gradient of the matrix per word, each as large as the matrix: with few rows a word that is mostly reading and writing
memory. Here the matrix goes through `_Shared` once, before the words, which also gives every word two places to send something back along:
its input and the gradient of its output. `_Shared` is told of them after all words, and multiplies them as one matrix product. Nothing is
kept but what autograd keeps: a graph may be walked twice, in part, or never.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class RepeatedProduct:
    """x @ matrix + bias for at most `times` inputs x (*rows, I), a matrix (I, O) or (rows[0], I, O), and a bias (O,).

    Differentiable once. Under autocast all is of its type, as in other products, but for double precision.
    """

    def __init__(self, matrix: Tensor, rows: tuple[int, ...], times: int, bias: Tensor | None = None):
        device = matrix.device.type
        lowers = torch.is_autocast_enabled(device) and matrix.dtype != torch.float64
        self.dtype = torch.get_autocast_dtype(device) if lowers else matrix.dtype
        matrix, bias = matrix.to(self.dtype), None if bias is None else bias.to(self.dtype)
        places = _Shared.apply(matrix, bias, rows, times)
        self.places = iter(zip(places[::2], places[1::2], strict=True))
        self.matrix, self.bias = matrix.detach(), None if bias is None else bias.detach()

    def __call__(self, x: Tensor) -> Tensor:
        place = next(self.places, None)
        assert place is not None, "more inputs than announced"
        return _Product.apply(x.to(self.dtype), self.matrix, self.bias, *place)


def repeated_linear(weight: Tensor, bias: Tensor | None, rows: tuple[int, ...], times: int) -> RepeatedProduct:
    """A Linear layer with this weight (O, I), for inputs (*rows, I)."""
    return RepeatedProduct(weight.t(), rows, times, bias)


class RepeatedLSTMCell:
    """An LSTMCell for at most `times` inputs (rows, I), called as the cell is."""

    def __init__(self, cell: nn.LSTMCell, rows: int, times: int):
        self.from_input = repeated_linear(cell.weight_ih, cell.bias_ih, (rows,), times)
        self.from_hidden = repeated_linear(cell.weight_hh, cell.bias_hh, (rows,), times)

    def __call__(self, inputs: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        hidden, cell = state
        into, forget, proposal, out = (self.from_input(inputs) + self.from_hidden(hidden)).chunk(4, dim=-1)
        cell = forget.sigmoid() * cell + into.sigmoid() * proposal.tanh()
        return out.sigmoid() * cell.tanh(), cell


class _Shared(torch.autograd.Function):
    """Gives two places per word, whose values nothing reads: one of its input's shape, one of its output's."""

    @staticmethod
    def forward(ctx, matrix: Tensor, bias: Tensor | None, rows: tuple[int, ...], times: int) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)  # a word that gets no gradient sends nothing back
        ctx.is_batched, ctx.is_transposed = matrix.dim() == 3, not matrix.is_contiguous()
        shapes = [(*rows, width) for width in matrix.shape[-2:]]  # of one number of memory each
        return tuple(matrix.new_empty_strided(shape, [0] * len(shape)) for _ in range(times) for shape in shapes)

    @staticmethod
    @once_differentiable
    def backward(ctx, *sent: Tensor | None):
        inputs, gradients = ([part for part in parts if part is not None] for parts in (sent[::2], sent[1::2]))
        if not gradients:
            return None, None, None, None
        x, gradient = torch.cat(inputs, dim=-2), torch.cat(gradients, dim=-2)
        if not ctx.is_batched:
            x, gradient = x.flatten(0, -2), gradient.flatten(0, -2)
        of_matrix = of_bias = None
        if ctx.needs_input_grad[0]:
            of_matrix = (gradient.mT @ x).mT if ctx.is_transposed else x.mT @ gradient  # as the matrix lies in memory
        if ctx.needs_input_grad[1]:
            of_bias = gradient.flatten(0, -2).sum(0)
        return of_matrix, of_bias, None, None


class _Product(torch.autograd.Function):
    """x @ matrix + bias: what comes back to the two places is x and the gradient, from which `_Shared` makes that of matrix and bias."""

    @staticmethod
    def forward(ctx, x: Tensor, matrix: Tensor, bias: Tensor | None, _place_of_x: Tensor, _place_of_gradient: Tensor) -> Tensor:
        ctx.save_for_backward(x, matrix)
        product = x @ matrix
        return product if bias is None else product.add_(bias)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor):
        x, matrix = ctx.saved_tensors
        return gradient @ matrix.mT if ctx.needs_input_grad[0] else None, None, None, x, gradient
