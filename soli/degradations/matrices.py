"""A degradation along one axis, as a matrix (SOLI: bilinear resize, step resize, Gaussian filter).

Everything is computed in float64 and handed out in float32. The caches are bounded in number and in the size of what they keep.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from soli.degradations.plan import AxisBlur, AxisOperation, AxisResize

MAX_CACHED_ELEMENTS = 500_000  # 2 MB in float32; larger matrices are rebuilt at each use


def bilinear_positions(source: int, target: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Left neighbour, right neighbour and the weight of the right one for each of `target` samples; half-pixel centres, edges repeated."""
    centres = np.clip((np.arange(target) + 0.5) * (source / target) - 0.5, 0, source - 1)
    left = np.floor(centres).astype(np.int64)
    return left, np.minimum(left + 1, source - 1), centres - left


def resize_rows(values: np.ndarray, target: int) -> np.ndarray:
    """Plain bilinear resize of the first axis, (source, ...) to (target, ...): OpenCV's INTER_LINEAR in real numbers, no antialiasing."""
    if target == len(values):
        return values
    left, right, weight = bilinear_positions(len(values), target)
    weight = weight.astype(values.dtype).reshape(-1, *[1] * (values.ndim - 1))
    first = values[left]
    return first + weight * (values[right] - first)


def gaussian_kernel(kernel_size: int, sigma: float) -> np.ndarray:
    """(kernel_size,) float64, summing to 1."""
    offsets = np.arange(kernel_size) - kernel_size // 2
    weights = np.exp(-(offsets.astype(np.float64) ** 2) / (2 * sigma**2))
    return weights / weights.sum()


def reflected_indices(side: int, radius: int) -> np.ndarray:
    """(side + 2 radius,) indices of a border that mirrors without repeating the edge pixel: 2 1 0 1 2 ... (reflect-101)."""
    if side == 1:
        return np.zeros(1 + 2 * radius, dtype=np.int64)
    folded = np.abs(np.arange(-radius, side + radius)) % (2 * (side - 1))
    return np.minimum(folded, 2 * (side - 1) - folded)


def blur_rows(values: np.ndarray, kernel_size: int, sigma: float) -> np.ndarray:
    """Gaussian filter along the first axis, (side, ...) to the same shape."""
    padded = values[reflected_indices(len(values), kernel_size // 2)]
    weights = gaussian_kernel(kernel_size, sigma).astype(values.dtype)
    return sum(weight * padded[start : start + len(values)] for start, weight in enumerate(weights))


def apply_plan(values: np.ndarray, plan: tuple[AxisOperation, ...]) -> np.ndarray:
    """The linear operations of one axis, step by step, on the first axis of `values`."""
    for operation in plan:
        if isinstance(operation, AxisBlur):
            values = blur_rows(values, operation.kernel_size, operation.sigma)
        elif isinstance(operation, AxisResize):
            for size in operation.sizes:
                values = resize_rows(values, size)
    return values


def chain_matrix(side: int, plan: tuple[AxisOperation, ...]) -> np.ndarray:
    """(side', side) float64: the whole chain is `apply_plan` on the identity."""
    build = _cached_chain if side * side <= MAX_CACHED_ELEMENTS else _cached_chain.__wrapped__
    return build(side, plan)


@lru_cache(maxsize=256)
def _cached_chain(side: int, plan: tuple[AxisOperation, ...]) -> np.ndarray:
    matrix = apply_plan(np.eye(side), plan)
    matrix.setflags(write=False)
    return matrix


def sampling_matrix(source: int, target: int, start: int, stop: int, antialias: bool) -> np.ndarray:
    """Rows `start` to `stop` of the (target, source) bilinear resize. Antialiased, the triangle is as wide as the step between samples."""
    scale = source / target
    centres = (np.arange(start, stop) + 0.5) * scale - 0.5
    if antialias and scale > 1:
        weights = np.maximum(0, 1 - np.abs(np.arange(source) - centres[:, None]) / scale)
        return weights / weights.sum(axis=1, keepdims=True)
    centres = np.clip(centres, 0, source - 1)
    return np.maximum(0, 1 - np.abs(np.arange(source) - centres[:, None]))


def axis_matrix(
    side: int, plan: tuple[AxisOperation, ...], target: int, start: int, stop: int, antialias: bool, device: str
) -> Tensor | None:
    """Chain, resize to `target` and window `start:stop` as one (stop - start, side) float32 matrix; None where that is the identity."""
    if target * side > MAX_CACHED_ELEMENTS:
        return _build(side, plan, target, start, stop, antialias).to(device)
    matrix, is_identity = _cached_matrix(side, plan, target, antialias, device)
    if (start, stop) == (0, target):
        return None if is_identity else matrix
    return matrix[start:stop]  # one cached matrix serves every window


@lru_cache(maxsize=512)
def _cached_matrix(side: int, plan: tuple[AxisOperation, ...], target: int, antialias: bool, device: str) -> tuple[Tensor, bool]:
    with torch.inference_mode(False):  # or gradients could not flow through it later
        matrix = _build(side, plan, target, 0, target, antialias)
        return matrix.to(device), target == side and torch.equal(matrix, torch.eye(side))


def _build(side: int, plan: tuple[AxisOperation, ...], target: int, start: int, stop: int, antialias: bool) -> Tensor:
    matrix = (
        sampling_matrix(side, target, start, stop, antialias)
        if not plan
        else _resample(chain_matrix(side, plan), target, start, stop, antialias)
    )
    return torch.from_numpy(matrix.astype(np.float32))


def _resample(chain: np.ndarray, target: int, start: int, stop: int, antialias: bool) -> np.ndarray:
    """Rows `start` to `stop` of the chain's output resized to `target`."""
    reduced = len(chain)
    if antialias and reduced > target:
        return sampling_matrix(reduced, target, start, stop, antialias) @ chain
    left, right, weight = (part[start:stop] for part in bilinear_positions(reduced, target))
    return chain[left] + weight[:, None] * (chain[right] - chain[left])
