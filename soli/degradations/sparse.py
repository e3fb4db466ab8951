"""An axis on the CPU: the few weights that a row of its matrix has lie next to each other, and only they are multiplied.

A chain that ends smaller than the view is kept apart from the resize to the view: the pixels between them are few.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from soli.degradations.matrices import chain_matrix, sampling_matrix, view_matrix
from soli.degradations.plan import AxisOperation

NEGLIGIBLE = 1e-7  # a weight below it changes a pixel by less than float32 rounds
FEW = 32  # weights a row, up to which rows are gathered (weighted sums of rows of a table); more are products of blocks,
WIDE = 300  # unless the table is narrower than this
BLOCK = (16, 64)  # rows of a matrix, the least and the most
SPAN = 32  # columns that a block has at least, where that many rows have them


@dataclass(frozen=True, eq=False)
class Sparse:
    """A matrix (S, H): row i has `weights[i]` (K,) on the columns `columns[i]` (K,).

    `blocks` is the same as dense blocks (b, w) of all that `block` rows have, each with its transpose and the first of its columns.
    """

    columns: Tensor
    weights: Tensor
    block: int
    blocks: tuple[tuple[Tensor, Tensor, int], ...]

    def rows(self, values: Tensor, start: int = 0, stop: int | None = None) -> Tensor:
        """The rows `start` to `stop` of this matrix times (H, M) float."""
        columns, weights = self.columns[start:stop], self.weights[start:stop]
        if weights.shape[1] <= FEW or values.shape[1] < WIDE:
            return embedding_bag(columns, values, per_sample_weights=weights, mode="sum")
        product = values.new_empty(len(self.columns), values.shape[1])
        for piece, (block, _, first) in zip(product.split(self.block), self.blocks, strict=True):
            torch.mm(block, values.narrow(0, first, block.shape[1]), out=piece)
        return product[start:stop]

    def columns_of(self, values: Tensor, start: int = 0, stop: int | None = None) -> Tensor:
        """The columns `start` to `stop` of (M, H) float times the transpose of this matrix."""
        stop = len(self.columns) if stop is None else stop
        before = start // self.block
        blocks = self.blocks[before : -(-stop // self.block)]
        product = values.new_empty(len(values), sum(len(block) for block, _, _ in blocks))
        for piece, (_, turned, first) in zip(product.split(self.block, dim=1), blocks, strict=True):
            torch.mm(values.narrow(1, first, len(turned)), turned, out=piece)
        return product.narrow(1, start - before * self.block, stop - start)


@lru_cache(maxsize=4096)
def axis_factors(side: int, plan: tuple[AxisOperation, ...], target: int, antialias: bool) -> tuple[Sparse, ...]:
    """What to multiply (side, M) by, one after the other, for the chain and the resize to `target`."""
    with torch.inference_mode(False):
        chain = chain_matrix(side, plan)
        if len(chain) >= target:
            return (_sparse(view_matrix(chain, target, antialias)),)
        return _sparse(chain), _sparse(sampling_matrix(len(chain), target, antialias))


def _sparse(matrix: np.ndarray) -> Sparse:
    counts = np.abs(matrix) >= NEGLIGIBLE
    first, stop = counts.argmax(axis=1), matrix.shape[1] - counts[:, ::-1].argmax(axis=1)
    width = int((stop - first).max())
    columns = np.minimum(first, matrix.shape[1] - width)[:, None] + np.arange(width)
    matrix = matrix.astype(np.float32)
    weights = np.take_along_axis(matrix, columns, axis=1)
    least, most = BLOCK
    block = int(np.clip(SPAN * len(matrix) // matrix.shape[1], least, most))
    spans = [(row, first[row : row + block].min(), stop[row : row + block].max()) for row in range(0, len(matrix), block)]
    blocks = [(torch.from_numpy(matrix[row : row + block, start:end].copy()), int(start)) for row, start, end in spans]
    turned = tuple((one, one.t().contiguous(), start) for one, start in blocks)
    return Sparse(torch.from_numpy(columns), torch.from_numpy(weights), block, turned)
