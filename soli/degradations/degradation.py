"""A condition, ready to be applied: to one photograph, to a batch, or as matrices (SOLI, arXiv 2512.08873)."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from soli.degradations.condition import Jpeg, Operation, read_condition
from soli.degradations.fixed_point import apply_fixed_point
from soli.degradations.matrices import apply_plan
from soli.degradations.plan import AxisOperation, final_size, plan_axis
from soli.degradations.sampling import Axis, sample
from soli.interfaces import SoliError
from soli.spelling import kind_of

MODES = ("matrix", "uint8_exact")
MAX_MATRIX_SIDE = 2048  # photographs with a longer side are degraded step by step: a matrix would not fit in memory

Plan = tuple[AxisOperation, ...]


def parse(spec: str, mode: Literal["matrix", "uint8_exact"] = "matrix", reference_side: int | None = None) -> Degradation:
    """The degradation of a condition's name, such as `original`, `R0.1S50_GF500`, `R0.5S1_JPEG30` or `GF500+R0.2S1`.

    `mode` says how resizes and blurs compute:

    - "matrix": what the formulas say, in floating point, rounded once at the end (if at all). Fast, differentiable, on any device.
    - "uint8_exact": what OpenCV computes when the image is stored as uint8 after every step, as the published files were made, to the bit.
      OpenCV truncates in fixed point, so **each resize darkens textured areas by about 0.12 grey levels on average: S50 comes out 5 to 6
      grey levels darker than in "matrix" mode** (up to 19 in places); at S1 the two agree within one. Slower, on the CPU. Use it to compare
      with files that OpenCV has written.

    At S50 results of the two modes are not comparable; do not train in one and test in the other.

    `reference_side`: the longer side, in pixels, that the originals had, for photographs that were shrunk before they reached us. Targets
    are then floor(original side * ratio), so R0.1 of a 500-pixel original is 50 pixels for its 224-pixel copy too; what is already smaller
    than its target stays as it is; the kernel of the blur shrinks with the photograph.

    Raises SoliError, with the position, for a condition that does not parse, and for an unknown mode or an impossible reference_side.
    """
    if mode not in MODES:
        raise SoliError(f"unknown degradation mode {mode!r}; allowed are {', '.join(map(repr, MODES))}")
    if reference_side is not None and (isinstance(reference_side, bool) or not isinstance(reference_side, int) or reference_side < 1):
        raise SoliError(f"reference_side is {reference_side!r}; give the originals' longer side in whole pixels, such as 500, or None")
    name, operations = read_condition(spec)
    return Degradation(name, operations, mode, reference_side)


@dataclass(frozen=True)
class Degradation:
    """A condition, its operations and how they are computed; made by `parse`, immutable and hashable."""

    spec: str
    operations: tuple[Operation, ...]
    mode: str = "matrix"
    reference_side: int | None = None

    def size(self, height: int, width: int) -> tuple[int, int]:
        """(height', width') of the degraded copy of a (height, width) photograph.

        Raises SoliError when a side would have less than one pixel.
        """
        rows, columns = self.plan(height, width)
        return final_size(rows, height), final_size(columns, width)

    def plan(self, height: int, width: int) -> tuple[Plan, Plan]:
        """What happens to the rows (along the height) and to the columns, one entry per operation."""
        if height < 1 or width < 1:
            raise SoliError(
                f"a photograph of {width} x {height} pixels (width x height) has none: give at least one pixel, or leave it out"
            )
        longer = max(height, width)
        scale = Fraction(self.reference_side or longer, longer)
        try:
            return plan_axis(self.operations, height, height * scale), plan_axis(self.operations, width, width * scale)
        except SoliError as error:
            raise SoliError(
                f"condition {self.spec!r} would leave less than one pixel of a photograph of {width} x {height} pixels (width x height); "
                "use a larger ratio, or leave this photograph out"
            ) from error

    def __call__(self, image: Image.Image | np.ndarray) -> Image.Image | np.ndarray:
        """The degraded copy of a PIL image (any mode, read as RGB) or of a uint8 array (H, W, 3): the same kind, of `size(H, W)`."""
        if isinstance(image, Image.Image):
            return Image.fromarray(self(np.asarray(image.convert("RGB"))))
        if not (isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3):
            raise SoliError(f"a photograph is a PIL image or a uint8 array (H, W, 3), not {_describe(image)}")
        rows, columns = self.plan(*image.shape[:2])
        return self._degrade(image, rows, columns)

    def batch(self, images: Tensor | Sequence[Tensor], size: tuple[int, int], antialias: bool = False) -> Tensor:
        """Degrade and resize to `size` (height, width): floats in [0, 1], (B, 3, H, W) or a list of (3, Hi, Wi), to (B, 3, *size).

        The resize to `size` is plain bilinear; `antialias` lets it antialias where it shrinks. In matrix mode without JPEG gradients flow.
        """
        images = list(images) if isinstance(images, (Tensor, Sequence)) else []
        if not images or any(not isinstance(image, Tensor) or image.ndim != 3 or not image.is_floating_point() for image in images):
            raise SoliError("batch takes one or more float images in [0, 1]: a tensor (B, 3, H, W) or a list of (3, H, W)")
        if not isinstance(size, Sequence) or len(size) != 2 or not all(isinstance(side, int) and side > 0 for side in size):
            raise SoliError(f"size is {size!r}: give (height, width) in whole pixels, one at least, such as (224, 224)")
        reduced, rows, columns = zip(*map(self.prepare, images), strict=True)
        height, width = size
        vertical = [Axis(plan, height, 0, height) for plan in rows]
        return sample(reduced, vertical, [Axis(plan, width, 0, width) for plan in columns], antialias)

    def prepare(self, image: Tensor) -> tuple[Tensor, Plan, Plan]:
        """What no matrix can do (up to the last JPEG, or all of it), done on (3, H, W) uint8 or float; and the plans of the rest.

        What is done here is rounded to uint8. Photographs beyond MAX_MATRIX_SIDE are done here in any case.
        """
        rows, columns = self.plan(*image.shape[-2:])
        done = self._num_nonlinear(max(image.shape[-2:]))
        if done == 0:
            return image, rows, columns
        pixels = image if image.dtype == torch.uint8 else (image.detach() * 255).round().clamp(0, 255).to(torch.uint8)
        degraded = self._degrade(pixels.permute(1, 2, 0).cpu().numpy(), rows[:done], columns[:done])
        degraded = torch.from_numpy(degraded.transpose(2, 0, 1).copy()).to(image.device)
        degraded = degraded if image.dtype == torch.uint8 else degraded.to(image.dtype) / 255
        return degraded, rows[done:], columns[done:]

    def _num_nonlinear(self, longer_side: int) -> int:
        """How many of the operations must be done on the image itself, before the rest becomes a matrix."""
        if self.mode == "uint8_exact" or longer_side > MAX_MATRIX_SIDE:
            return len(self.operations)
        return max((index for index, operation in enumerate(self.operations, start=1) if isinstance(operation, Jpeg)), default=0)

    def _degrade(self, image: np.ndarray, rows: Plan, columns: Plan) -> np.ndarray:
        """(H, W, 3) uint8 through the given operations, rounded to nearest where the linear ones end."""
        start = 0
        for index, operation in enumerate(rows):
            if isinstance(operation, Jpeg):
                image = write_and_read_jpeg(self._degrade_linear(image, rows[start:index], columns[start:index]), operation.quality)
                start = index + 1
        return self._degrade_linear(image, rows[start:], columns[start:])

    def _degrade_linear(self, image: np.ndarray, rows: Plan, columns: Plan) -> np.ndarray:
        if self.mode == "uint8_exact":
            for row_operation, column_operation in zip(rows, columns, strict=True):
                image = apply_fixed_point(image, row_operation, column_operation)
            return image
        return _round_to_uint8(_apply_linear(image, rows, columns)) if rows else image


def write_and_read_jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    """(H, W, 3) uint8 through Pillow's JPEG encoder and back."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="JPEG", quality=quality)
    return np.asarray(Image.open(buffer).convert("RGB"))


def _apply_linear(image: np.ndarray, rows: Plan, columns: Plan) -> np.ndarray:
    """(H, W, 3) uint8 to real grey levels (H', W', 3) float32: by matrices, or step by step where those would be too large."""
    height, width = image.shape[:2]
    if max(height, width) > MAX_MATRIX_SIDE:
        narrow = apply_plan(image.swapaxes(0, 1).astype(np.float32), columns)
        return apply_plan(narrow.swapaxes(0, 1), rows)
    reduced_height, reduced_width = final_size(rows, height), final_size(columns, width)
    values = torch.tensor(image).permute(2, 0, 1).float()
    axes = [Axis(rows, reduced_height, 0, reduced_height)], [Axis(columns, reduced_width, 0, reduced_width)]
    return sample([values], *axes, antialias=False)[0].permute(1, 2, 0).numpy()


def _round_to_uint8(values: np.ndarray) -> np.ndarray:
    return np.clip(np.floor(values + 0.5), 0, 255).astype(np.uint8)


def _describe(image: object) -> str:
    return f"{image.dtype} {tuple(image.shape)}" if hasattr(image, "dtype") and hasattr(image, "shape") else kind_of(image)
