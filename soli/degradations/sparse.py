"""An axis on the CPU: the few weights that a row of its matrix has lie next to each other, and little else is multiplied.

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

# Measured on one core, for photographs of 500 x 375 pixels:
NEGLIGIBLE = 1e-7  # a weight below it changes a pixel by less than float32 rounds
BLOCK = (16, 64)  # rows of a block, the least and the most
SPAN = 32  # columns that a block has at least, as far as BLOCK allows
FEW = 32  # up to so many weights a row a gather (weighted sums of rows of a table) is faster than blocks
WIDE = 300  # and on tables narrower than this, always


@dataclass(frozen=True, eq=False)
class Sparse:
    """A matrix (S, H): row i has `weights[i]` (K,) on the columns `column_ids[i]` (K,).

    `blocks` is the same as dense blocks of all that `block` rows have, transposed (w, b), each with the first of its columns.
    """

    column_ids: Tensor
    weights: Tensor
    block: int
    blocks: tuple[tuple[Tensor, int], ...]

    def multiply(self, values: Tensor, start: int = 0, stop: int | None = None) -> Tensor:
        """The rows `start` to `stop` of this matrix times values (H, M) float -> (stop - start, M)."""
        column_ids, weights = self.column_ids[start:stop], self.weights[start:stop]
        if weights.shape[1] <= FEW or values.shape[1] < WIDE:
            return embedding_bag(column_ids, values, per_sample_weights=weights, mode="sum")
        product = values.new_empty(len(self.weights), values.shape[1])
        for piece, (block, first) in zip(product.split(self.block), self.blocks, strict=True):
            torch.mm(block.t(), values.narrow(0, first, len(block)), out=piece)
        return product[start:stop]

    def multiply_turned(self, values: Tensor, start: int = 0, stop: int | None = None) -> Tensor:
        """Values (M, H) float times the transpose of those rows -> (M, stop - start)."""
        stop = len(self.weights) if stop is None else stop
        before = start // self.block
        blocks = self.blocks[before : -(-stop // self.block)]
        product = values.new_empty(len(values), sum(block.shape[1] for block, _ in blocks))
        for piece, (block, first) in zip(product.split(self.block, dim=1), blocks, strict=True):
            torch.mm(values.narrow(1, first, len(block)), block, out=piece)
        return product.narrow(1, start - before * self.block, stop - start)


@lru_cache(maxsize=2048)  # 0.2 MB each for photographs of 640 pixels, at most 1 MB
def axis_factors(side: int, plan: tuple[AxisOperation, ...], target: int, antialias: bool) -> tuple[Sparse, ...]:
    """What to multiply (side, M) by, one after the other, for the chain and the resize to `target`."""
    with torch.inference_mode(False):
        if not plan:
            return (_sparse(sampling_matrix(side, target, antialias)),)
        chain = chain_matrix(side, plan)
        if len(chain) >= target:
            return (_sparse(view_matrix(chain, target, antialias)),)
        return _sparse(chain), _sparse(sampling_matrix(len(chain), target, antialias))


def _sparse(matrix: np.ndarray) -> Sparse:
    is_kept = np.abs(matrix) >= NEGLIGIBLE
    first, stop = is_kept.argmax(axis=1), matrix.shape[1] - is_kept[:, ::-1].argmax(axis=1)
    width = int((stop - first).max())
    column_ids = np.minimum(first, matrix.shape[1] - width)[:, None] + np.arange(width)
    matrix = matrix.astype(np.float32)
    weights = np.take_along_axis(matrix, column_ids, axis=1)
    block = int(np.clip(SPAN * len(matrix) // matrix.shape[1], *BLOCK))
    spans = [(row, first[row : row + block].min(), stop[row : row + block].max()) for row in range(0, len(matrix), block)]
    blocks = [(torch.from_numpy(matrix[row : row + block, start:end].T.copy()), int(start)) for row, start, end in spans]
    return Sparse(torch.from_numpy(column_ids.astype(np.int32)), torch.from_numpy(weights), block, tuple(blocks))
