"""A degradation along one axis, as a matrix (SOLI: bilinear resize, step resize, Gaussian filter).

Everything is computed in float64: soli/degradations/dense.py and sparse.py keep and apply it in float32.
"""

from __future__ import annotations

import numpy as np

from soli.degradations.plan import AxisBlur, AxisOperation, AxisResize


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
    """(side', side): the whole chain is `apply_plan` on the identity."""
    return apply_plan(np.eye(side), plan)


def sampling_matrix(source: int, target: int, antialias: bool) -> np.ndarray:
    """The (target, source) bilinear resize. Antialiased, the triangle is as wide as the step between samples."""
    scale = source / target
    centres = (np.arange(target) + 0.5) * scale - 0.5
    if antialias and scale > 1:
        weights = np.maximum(0, 1 - np.abs(np.arange(source) - centres[:, None]) / scale)
        return weights / weights.sum(axis=1, keepdims=True)
    centres = np.clip(centres, 0, source - 1)
    return np.maximum(0, 1 - np.abs(np.arange(source) - centres[:, None]))


def view_matrix(chain: np.ndarray, target: int, antialias: bool) -> np.ndarray:
    """The matrix (target, side) of a chain (side', side) and the resize to `target`; `antialias`: where that shrinks."""
    if antialias and len(chain) > target:
        return sampling_matrix(len(chain), target, antialias) @ chain
    return resize_rows(chain, target)
