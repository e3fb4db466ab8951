"""Images of different sizes, each between two matrices of its own, `rows @ image @ columns^T`, batched by size."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from soli.degradations.matrices import chain_matrix, view_matrix
from soli.degradations.plan import AxisOperation

MAX_CACHED_ELEMENTS = 500_000  # 2 MB in float32; larger matrices are rebuilt at each use
MAX_VALUES = 2**26  # of a stack of images: 256 MiB as floats


def axis_matrix(side: int, plan: tuple[AxisOperation, ...], target: int, antialias: bool, device: str) -> Tensor | None:
    """Chain and resize to `target` as one (target, side) float32 matrix; None where that is the identity."""
    build = _cached_matrix if target * side <= MAX_CACHED_ELEMENTS else _cached_matrix.__wrapped__
    return build(side, plan, target, antialias, device)


@lru_cache(maxsize=2048)
def _cached_matrix(side: int, plan: tuple[AxisOperation, ...], target: int, antialias: bool, device: str) -> Tensor | None:
    with torch.inference_mode(False):  # or gradients could not flow through it later
        matrix = torch.from_numpy(view_matrix(chain_matrix(side, plan), target, antialias)).float()
        return None if target == side and torch.equal(matrix, torch.eye(side)) else matrix.to(device)


def multiply_groups(images: Sequence[Tensor], rows: Sequence[Tensor | None], columns: Sequence[Tensor | None]) -> Tensor:
    """N images (3, Hi, Wi), matrices (H, Hi) and (W, Wi), all on one device, to (N, 3, H, W) floats; None stands for the identity.

    uint8 images become floats in [0, 1]. Two batched products per group of images of one size; never in reduced precision under autocast.
    """
    groups = defaultdict(list)
    for index, (image, row, column) in enumerate(zip(images, rows, columns, strict=True)):
        groups[image.shape, image.dtype, row is None, column is None].append(index)
    parts = [part for indices in groups.values() for part in _parts(indices, images[indices[0]].numel())]
    results: list[Tensor | None] = [None] * len(images)
    with torch.autocast(images[0].device.type, enabled=False):
        for indices in parts:
            stack = _to_float(torch.stack([images[index] for index in indices]))
            products = _multiply(_stack(rows, indices), stack, _stack(columns, indices))
            if len(parts) == 1:
                return products
            for index, product in zip(indices, products, strict=True):
                results[index] = product
    return torch.stack(results)


def _parts(indices: list[int], num_values: int) -> list[list[int]]:
    """So many images at once that their floats stay below MAX_VALUES, one at the least."""
    length = max(1, MAX_VALUES // num_values)
    return [indices[start : start + length] for start in range(0, len(indices), length)]


def _to_float(images: Tensor) -> Tensor:
    return images.float().div_(255) if images.dtype == torch.uint8 else images.float()


def _stack(matrices: Sequence[Tensor | None], indices: list[int]) -> Tensor | None:
    """(n, S, H); or (S, H) where all are one and the same matrix, which needs no copies."""
    chosen = [matrices[index] for index in indices]
    if chosen[0] is None or all(matrix is chosen[0] for matrix in chosen):
        return chosen[0]
    return torch.stack(chosen)


def _multiply(rows: Tensor | None, images: Tensor, columns: Tensor | None) -> Tensor:
    """(n, 3, H, W) images, the cheaper of the two orders first."""
    height, width = images.shape[-2:]
    rows_first = rows is not None and columns is not None and _cost(rows, columns, height, width) < _cost(columns, rows, width, height)
    if rows_first:
        return _multiply_columns(_multiply_rows(rows, images), columns)
    images = images if columns is None else _multiply_columns(images, columns)
    return images if rows is None else _multiply_rows(rows, images)


def _cost(first: Tensor, second: Tensor, first_side: int, second_side: int) -> int:
    """Multiplications per channel when `first` is applied first."""
    return first.shape[-2] * first_side * second_side + second.shape[-2] * second_side * first.shape[-2]


def _multiply_rows(rows: Tensor, images: Tensor) -> Tensor:
    return (rows if rows.ndim == 2 else rows.unsqueeze(1)) @ images


def _multiply_columns(images: Tensor, columns: Tensor) -> Tensor:
    """Channels and rows share the columns' matrix, so they are one dimension of the product."""
    return (images.flatten(1, 2) @ columns.mT).unflatten(1, images.shape[1:3])
