"""Degradations of photographs: one at a time, or a batch with another condition per image, as two matrix products."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from soli.degradations import fixed_point, matrices
from soli.degradations.condition import AxisBlur, AxisOperation, Operation, Segment, canonical, parse_operations, plan
from soli.degradations.framing import Frame
from soli.interfaces import SoliError


def parse(spec: str, mode: Literal["matrix", "uint8_exact"] = "matrix", reference_side: int | None = None) -> Degradation:
    """The degradation that a name such as `R0.1S50_GF500` stands for (grammar: soli/degradations/condition.py; SOLI, Algorithm 1).

    mode "matrix" is what the paper's formulas say, in floats, rounded once at the end if the result is to be uint8. "uint8_exact" goes
    step by step through uint8 images as OpenCV does, and as the published files were made: its fixed-point arithmetic truncates, so that
    **fifty steps darken a photograph by 5 to 6 grey levels** (up to 16 in places), which "matrix" does not. Choose it to compare with such files.

    `reference_side`: the longer side, in pixels, of the originals if the photographs at hand are shrunk copies. R0.1 of a 500-px original
    is 50 px, also for a 224-px copy; a size that the copy does not have is left as it is; the filter shrinks in proportion.
    Raises SoliError for names that do not parse (saying where), unknown modes and impossible sides.
    """
    if mode not in ("matrix", "uint8_exact"):
        raise SoliError(f"degradation.mode={mode} is not known: choose matrix or uint8_exact.")
    if reference_side is not None and reference_side < 1:
        raise SoliError(f"dataset.reference_side={reference_side} must be at least 1 pixel, or null.")
    operations = parse_operations(spec)
    return Degradation(canonical(operations), operations, mode, reference_side)


@dataclass(frozen=True)
class Degradation:
    """Calling it with a Pillow image or a uint8 (H, W, 3) array gives the same kind, smaller. Made by `parse`."""

    spec: str
    operations: tuple[Operation, ...]
    mode: Literal["matrix", "uint8_exact"] = "matrix"
    reference_side: int | None = None

    def size(self, height: int, width: int) -> tuple[int, int]:
        """The size (height, width) of a degraded photograph. Raises SoliError when a side would fall under 1 pixel."""
        last = self.plan(height, width)[-1]
        return last.height, last.width

    def plan(self, height: int, width: int) -> tuple[Segment, ...]:
        """The linear segments between JPEG compressions, for a photograph of this size."""
        return _plan(self, height, width)

    def __call__(self, image: Image.Image | np.ndarray) -> Image.Image | np.ndarray:
        """Raises SoliError for anything but an RGB photograph of 8 bits."""
        if isinstance(image, Image.Image):
            return Image.fromarray(self(np.asarray(image.convert("RGB"))))
        if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            found = f"{image.dtype} array of shape {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
            raise SoliError(f"A degradation takes a Pillow image or a uint8 array (H, W, 3), not a {found}.")
        if self.mode == "uint8_exact":
            return _step_by_step(image, self.plan(*image.shape[:2]))
        tensor = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float() / 255
        degraded = _degrade(tensor, self, antialias=False, frames=None)[0]
        return to_uint8(degraded).permute(1, 2, 0).contiguous().numpy()

    def batch(self, images: Tensor | Sequence[Tensor], size: tuple[int, int], antialias: bool = False) -> Tensor:
        """Images (B, 3, H, W) in [0, 1], or a list of (3, Hi, Wi) of different sizes -> (B, 3, *size), degraded and resized to `size`.

        The last resize is plain bilinear; with `antialias` it averages where it shrinks.
        """
        if any(image.ndim != 3 or image.shape[0] != 3 or not image.is_floating_point() for image in images):
            raise SoliError("Degradation.batch takes float images in [0, 1] of shape (B, 3, H, W), or a list of (3, H, W).")
        whole = Frame(*size, top=0, left=0, size=0)
        return _by_size(list(images), [self] * len(images), [whole] * len(images), antialias)


def render(
    images: Sequence[Tensor], degradations: Sequence[Degradation], frames: Sequence[Frame], device: torch.device | str | None = None
) -> Tensor:
    """Photographs uint8 (3, Hi, Wi), each under its own condition and in its own frame -> (N, 3, S, S) in [0, 1] on `device`.

    Degradation, resize, crop and flip are one matrix per axis. The resize to the frame averages where it shrinks (as torchvision's
    antialias=True); the degradation itself never does.
    """
    return _by_size([image.to(device, non_blocking=True).float() / 255 for image in images], degradations, frames, antialias=True)


def to_uint8(image: Tensor) -> Tensor:
    """[0, 1] -> uint8, rounded to nearest."""
    return (image * 255).round().clamp(0, 255).to(torch.uint8)


def _by_size(images: list[Tensor], degradations: Sequence[Degradation], frames: Sequence[Frame], antialias: bool) -> Tensor:
    """Images of one size and kind of condition go through together; the results come back in order."""
    groups: dict[tuple, list[int]] = defaultdict(list)
    for index, (image, degradation) in enumerate(zip(images, degradations, strict=True)):
        qualities = tuple(segment.quality for segment in degradation.plan(*image.shape[1:]))
        key = degradation if len(qualities) > 1 or degradation.mode == "uint8_exact" else None
        groups[(image.shape, key)].append(index)
    results: list[Tensor | None] = [None] * len(images)
    for members in groups.values():
        stack = torch.stack([images[index] for index in members])
        done = _degrade(stack, [degradations[index] for index in members], antialias, [frames[index] for index in members])
        for index, result in zip(members, done):
            results[index] = result
    return torch.stack(results)


def _degrade(images: Tensor, degradations: Degradation | list[Degradation], antialias: bool, frames: list[Frame] | None) -> Tensor:
    """Images of one size (B, 3, H, W). Those with JPEG or exact steps share one degradation, so that their sizes agree in between."""
    if isinstance(degradations, Degradation):
        degradations = [degradations] * len(images)
    height, width = images.shape[-2:]
    plans = [degradation.plan(height, width) for degradation in degradations]
    if degradations[0].mode == "uint8_exact" and degradations[0].operations:
        exact = [_step_by_step(to_uint8(image).permute(1, 2, 0).cpu().numpy(), plans[0]) for image in images]
        images = torch.from_numpy(np.stack(exact)).permute(0, 3, 1, 2).to(images.device).float() / 255
        plans = [(Segment((), (), *images.shape[-2:], None),)] * len(images)
    for number in range(len(plans[0]) - 1):
        images = _products(images, [part[number] for part in plans], antialias, None)
        images = torch.stack([_jpeg_tensor(image, part[number].quality) for image, part in zip(images, plans)])
    return _products(images, [part[-1] for part in plans], antialias, frames)


def _products(images: Tensor, segments: list[Segment], antialias: bool, frames: list[Frame] | None) -> Tensor:
    """rows @ image @ columns^T for every image, with one pair of matrices where all images share it."""
    height, width = images.shape[-2:]
    rows = [_axis(segment.rows, height, frame and (frame.height, frame.top, frame.size, False), antialias) for segment, frame in _pairs(segments, frames)]
    columns = [_axis(segment.columns, width, frame and (frame.width, frame.left, frame.size, frame.flip), antialias) for segment, frame in _pairs(segments, frames)]
    images = _apply(rows, images, lambda matrix, stack: matrix @ stack)
    return _apply(columns, images, lambda matrix, stack: stack @ matrix.transpose(-1, -2))


def _pairs(segments: list[Segment], frames: list[Frame] | None) -> zip:
    return zip(segments, frames or [None] * len(segments))


def _apply(axis_matrices: list[Tensor | None], images: Tensor, product: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    if all(matrix is None for matrix in axis_matrices):
        return images
    if all(matrix is axis_matrices[0] for matrix in axis_matrices):
        return product(axis_matrices[0].to(images.device), images)
    side = next(matrix.shape[1] for matrix in axis_matrices if matrix is not None)
    dense = [torch.eye(side) if matrix is None else matrix for matrix in axis_matrices]
    return product(torch.stack(dense).to(images.device, non_blocking=True).unsqueeze(1), images)


def _axis(operations: tuple[AxisOperation, ...], side: int, window: tuple[int, int, int, bool] | None, antialias: bool) -> Tensor | None:
    """The matrix of one axis as float32, or None for the identity. `window` is (resized side, offset, size or 0 for all, mirrored)."""
    if window is None:
        return _matrix(operations, side, None, antialias)
    resized, offset, size, mirrored = window
    matrix = _matrix(operations, side, resized, antialias)
    if size in (0, resized) and not mirrored:
        return matrix
    return _windowed(operations, side, resized, antialias, offset, size or resized, mirrored)


@lru_cache(maxsize=2048)
def _windowed(operations: tuple, side: int, resized: int, antialias: bool, offset: int, size: int, mirrored: bool) -> Tensor:
    matrix = _matrix(operations, side, resized, antialias)
    rows = (torch.eye(side) if matrix is None else matrix)[offset : offset + size]
    return rows.flip(0) if mirrored else rows


@lru_cache(maxsize=2048)
def _matrix(operations: tuple[AxisOperation, ...], side: int, resized: int | None, antialias: bool) -> Tensor | None:
    """A chain of operations and the resize to the frame, composed in float64."""
    matrix = np.eye(side)
    for operation in operations:
        here = matrix.shape[0]
        if isinstance(operation, AxisBlur):
            matrix = matrices.gaussian(here, operation.sigma, operation.kernel_size) @ matrix
        else:
            matrix = matrices.step_resize(here, operation.target, operation.steps) @ matrix
    if resized is not None and resized != matrix.shape[0]:
        matrix = (matrices.antialiased if antialias else matrices.bilinear)(matrix.shape[0], resized) @ matrix
    return None if not operations and matrix.shape[0] == side else torch.from_numpy(matrix.astype(np.float32))


@lru_cache(maxsize=4096)
def _plan(degradation: Degradation, height: int, width: int) -> tuple[Segment, ...]:
    return tuple(plan(degradation.operations, degradation.spec, height, width, degradation.reference_side))


def _step_by_step(image: np.ndarray, segments: Sequence[Segment]) -> np.ndarray:
    """uint8 (H, W, 3) through uint8 images, as OpenCV and Pillow would."""
    for segment in segments:
        for down, across in zip(segment.rows, segment.columns, strict=True):
            if isinstance(down, AxisBlur):
                image = fixed_point.blur(image, down.sigma, down.kernel_size)
            else:
                image = fixed_point.step_resize(image, down.target, across.target, down.steps)
        if segment.quality is not None:
            image = _jpeg(image, segment.quality)
    return image


def _jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def _jpeg_tensor(image: Tensor, quality: int) -> Tensor:
    pixels = to_uint8(image).permute(1, 2, 0).contiguous().cpu().numpy()
    return torch.from_numpy(_jpeg(pixels, quality).copy()).permute(2, 0, 1).to(image.device).float() / 255
