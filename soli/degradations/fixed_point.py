"""OpenCV's arithmetic on uint8 images, step by step, for comparison with files that were degraded by it.

cv2.resize with INTER_LINEAR works with 11-bit coefficients and truncates: each resize darkens by about 0.12 grey levels, fifty of them
by 5 to 6. The matrices (soli/degradations/matrices.py) follow the formula and do not.
"""

from __future__ import annotations

import numpy as np

from soli.degradations.matrices import gaussian, step_sides

ONE = 1 << 11  # the fixed-point 1 of OpenCV's resize coefficients


def blur(image: np.ndarray, sigma: float, kernel_size: int) -> np.ndarray:
    """The Gaussian filter of a uint8 image (H, W, 3), rounded to nearest."""
    rows, columns = (gaussian(side, sigma, kernel_size) for side in image.shape[:2])
    return np.rint(np.einsum("ih,hwc,jw->ijc", rows, image.astype(float), columns, optimize=True)).astype(np.uint8)


def step_resize(image: np.ndarray, height: int, width: int, steps: int) -> np.ndarray:
    """`steps` resizes of a uint8 image (H, W, 3) to (height, width), each rounded to uint8 as OpenCV does."""
    for rows, columns in zip(step_sides(image.shape[0], height, steps), step_sides(image.shape[1], width, steps)):
        image = resize(image, rows, columns)
    return image


def resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR) of a uint8 image (H, W, 3)."""
    if image.shape[:2] == (height, width):
        return image
    if image.shape[:2] == (2 * height, 2 * width):  # OpenCV takes the mean of four pixels here
        quads = image.astype(np.int32).reshape(height, 2, width, 2, -1)
        return ((quads.sum((1, 3)) + 2) >> 2).astype(np.uint8)
    columns, column_weights = _coefficients(image.shape[1], width)
    rows, row_weights = _coefficients(image.shape[0], height)
    pixels = image.astype(np.int32)
    right = np.minimum(columns + 1, image.shape[1] - 1)
    across = pixels[:, columns] * column_weights[0][:, None] + pixels[:, right] * column_weights[1][:, None]  # (H, width, 3)
    across >>= 4
    upper, lower = across[rows], across[np.minimum(rows + 1, image.shape[0] - 1)]
    total = (upper * row_weights[0][:, None, None] >> 16) + (lower * row_weights[1][:, None, None] >> 16)
    return ((total + 2) >> 2).astype(np.uint8)


def _coefficients(source: int, target: int) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """The left neighbour of each output pixel and the fixed-point weights of it and of the next one; positions in float32, as OpenCV's."""
    position = ((np.arange(target) + 0.5) * (1 / (target / source)) - 0.5).astype(np.float32)
    left = np.floor(position).astype(int)
    fraction = position - left.astype(np.float32)
    fraction[(left < 0) | (left >= source - 1)] = 0
    left = np.clip(left, 0, source - 1)
    return left, (np.rint((np.float32(1) - fraction) * ONE).astype(np.int32), np.rint(fraction * ONE).astype(np.int32))
