"""Photographs of different sizes, each degraded, resized and cut along its own two axes, in float32 on any device.

One matrix per axis does it all. On the CPU large photographs are multiplied by what is not zero of it (sparse.py); small ones, all on
other devices, and those that need gradients in batched dense products (dense.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from soli.degradations.dense import axis_matrix, multiply_groups
from soli.degradations.plan import AxisOperation
from soli.degradations.sparse import axis_factors

SMALL = 96 * 96  # pixels: up to there the products of a whole batch take less time than what surrounds a photograph's own


@dataclass(frozen=True)
class Axis:
    """The pixels `start` to `stop` of an axis that is degraded by `plan`, then resized to `target` pixels; in reversed order if `flip`."""

    plan: tuple[AxisOperation, ...]
    target: int
    start: int
    stop: int
    flip: bool = False


def sample(images: Sequence[Tensor], rows: Sequence[Axis], columns: Sequence[Axis], antialias: bool) -> Tensor:
    """N images (3, Hi, Wi), uint8 or floats, on one device, to (N, 3, H, W) float32, uint8 divided by 255; axes end equally long.

    `antialias`: whether the resize antialiases where it shrinks. Images that need gradients pass them on.
    """
    if any(image.requires_grad for image in images):  # nothing may be written into what gradients flow through
        return _sample_densely(images, rows, columns, antialias)
    alone = [place for place, image in enumerate(images) if image.device.type == "cpu" and image.shape[1] * image.shape[2] > SMALL]
    together = [place for place in range(len(images)) if place not in alone]
    if not alone:
        return _sample_densely(images, rows, columns, antialias)
    size = rows[0].stop - rows[0].start, columns[0].stop - columns[0].start
    result = torch.empty(len(images), 3, *size)
    if together:
        result[together] = _sample_densely(*([one[place] for place in together] for one in (images, rows, columns)), antialias)
    for place in sorted(alone, key=lambda place: hash(rows[place].plan)):  # those of a condition share what lies in the processor's cache
        _sample_sparsely(images[place], rows[place], columns[place], antialias, result[place])
    return result


def _sample_densely(images: Sequence[Tensor], rows: Sequence[Axis], columns: Sequence[Axis], antialias: bool) -> Tensor:
    device = str(images[0].device)
    vertical, horizontal = (
        [_matrix(image.shape[place], axis, antialias, device) for image, axis in zip(images, axes, strict=True)]
        for place, axes in ((1, rows), (2, columns))
    )
    return multiply_groups(images, vertical, horizontal)


def _matrix(side: int, axis: Axis, antialias: bool, device: str) -> Tensor | None:
    """The matrix of an axis; None is the identity."""
    matrix = axis_matrix(side, axis.plan, axis.target, antialias, device)
    if matrix is None and (axis.flip or (axis.start, axis.stop) != (0, axis.target)):
        matrix = torch.eye(side, device=device)
    if matrix is None:
        return None
    if (axis.start, axis.stop) != (0, axis.target):
        matrix = matrix[axis.start : axis.stop]  # one cached matrix serves every window
    return matrix.flip(0) if axis.flip else matrix


def _sample_sparsely(image: Tensor, rows: Axis, columns: Axis, antialias: bool, result: Tensor) -> None:
    """One image (3, H, W) into `result` (3, H', W')."""
    channels, height, width = image.shape
    *chain_rows, view_rows = axis_factors(height, rows.plan, rows.target, antialias)
    *chain_columns, view_columns = axis_factors(width, columns.plan, columns.target, antialias)
    values = image.new_empty(height, channels, width, dtype=torch.float32).copy_(image.transpose(0, 1)).view(height, channels * width)
    if chain_rows:
        values = chain_rows[0].multiply(values)
    else:
        values = view_rows.multiply(values, rows.start, rows.stop)
    values = values.view(-1, width)
    for factor in chain_columns:
        values = factor.multiply_turned(values)
    values = view_columns.multiply_turned(values, columns.start, columns.stop)
    if chain_rows:  # the photograph was lower than its view: its other rows are made last, of few
        values = view_rows.multiply(values.reshape(-1, channels * values.shape[1]), rows.start, rows.stop)
    values = values.view(-1, channels, result.shape[2]).transpose(0, 1)
    values = values.flip(2) if columns.flip else values
    torch.div(values, 255 if image.dtype == torch.uint8 else 1, out=result)
