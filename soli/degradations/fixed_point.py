"""OpenCV's uint8 arithmetic in numpy integers: INTER_LINEAR and GaussianBlur, uint8 after each step (mode `uint8_exact`).

The resize weighs with 11-bit coefficients and *truncates* between its two passes, so every resize darkens textured
areas by about 0.12 grey levels on average (uniform ones keep their value). Equal to OpenCV 5.0.0 to the bit in all that the tests try.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from soli.degradations.matrices import gaussian_kernel, reflected_indices
from soli.degradations.plan import AxisBlur, AxisOperation, AxisResize

COEFFICIENT_SCALE = 1 << 11
KERNEL_BITS = 8


def apply_fixed_point(image: np.ndarray, rows: AxisOperation, columns: AxisOperation) -> np.ndarray:
    """One blur or resize (all its steps) of an image (H, W, C) uint8."""
    if isinstance(rows, AxisBlur) and isinstance(columns, AxisBlur):
        return blur_fixed_point(image, rows, columns)
    assert isinstance(rows, AxisResize) and isinstance(columns, AxisResize)
    for height, width in zip(rows.sizes, columns.sizes, strict=True):
        image = resize_fixed_point(image, height, width)
    return image


def resize_fixed_point(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """(H, W, C) uint8 to (height, width, C) uint8, what cv2.resize(..., interpolation=INTER_LINEAR) computes."""
    if image.shape[:2] == (height, width):
        return image
    if image.shape[:2] == (2 * height, 2 * width):
        return _halve(image)
    left, right, left_weight, right_weight = _coefficients(image.shape[1], width)
    first = np.take(image, left, axis=1) * left_weight[:, None]
    first += np.take(image, right, axis=1) * right_weight[:, None]
    first >>= 4
    upper, lower, upper_weight, lower_weight = _coefficients(image.shape[0], height)
    second = (first[upper] * upper_weight[:, None, None]) >> 16
    second += (first[lower] * lower_weight[:, None, None]) >> 16
    return np.clip((second + 2) >> 2, 0, 255).astype(np.uint8)


def _halve(image: np.ndarray) -> np.ndarray:
    """At exactly half the size OpenCV averages blocks of four, rounding half up."""
    image = image.astype(np.int32)
    total = image[0::2, 0::2] + image[0::2, 1::2] + image[1::2, 0::2] + image[1::2, 1::2]
    return ((total + 2) >> 2).astype(np.uint8)


@lru_cache(maxsize=4096)
def _coefficients(source: int, target: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Left and right neighbours and their int32 weights; positions in float32, as OpenCV has them."""
    scale = 1.0 / (target / source)
    centres = ((np.arange(target) + 0.5) * scale - 0.5).astype(np.float32)
    left = np.floor(centres).astype(np.int64)
    fraction = centres - left.astype(np.float32)
    fraction[(left < 0) | (left >= source - 1)] = 0
    left = np.clip(left, 0, source - 1)
    weights = [np.rint(part * np.float32(COEFFICIENT_SCALE)).astype(np.int32) for part in (np.float32(1) - fraction, fraction)]
    return left, np.minimum(left + 1, source - 1), *weights


def blur_fixed_point(image: np.ndarray, rows: AxisBlur, columns: AxisBlur) -> np.ndarray:
    """(H, W, C) uint8 to the same shape, what cv2.GaussianBlur computes: 8-bit kernels, exact sums, rounded half up at the end."""
    sums = _weighted_sums(image.astype(np.int64), columns, axis=1)
    sums = _weighted_sums(sums, rows, axis=0)
    return ((sums + (1 << (2 * KERNEL_BITS - 1))) >> (2 * KERNEL_BITS)).astype(np.uint8)


def _weighted_sums(image: np.ndarray, blur: AxisBlur, axis: int) -> np.ndarray:
    side = image.shape[axis]
    indices = reflected_indices(side, blur.kernel_size // 2)
    weights = _integer_kernel(blur)
    return sum(int(weight) * np.take(image, indices[start : start + side], axis=axis) for start, weight in enumerate(weights))


def _integer_kernel(blur: AxisBlur) -> np.ndarray:
    """Weights that sum to 256: the rounding error of each is carried to its neighbour, the middle one takes the rest."""
    exact = gaussian_kernel(blur.kernel_size, blur.sigma) * (1 << KERNEL_BITS)
    weights, error = np.zeros(blur.kernel_size, dtype=np.int64), 0.0
    for index in range(blur.kernel_size // 2):
        weights[index] = weights[-1 - index] = np.rint(exact[index] + error)
        error += exact[index] - weights[index]
    weights[blur.kernel_size // 2] = (1 << KERNEL_BITS) - weights.sum()
    return weights
