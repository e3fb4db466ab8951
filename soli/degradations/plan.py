"""What a condition does along one axis of a photograph: kernel widths and step sizes (SOLI, Algorithm 1)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from soli.degradations.condition import Blur, Jpeg, Operation, Resize
from soli.interfaces import SoliError

KERNEL_SIZE = 15  # the paper's kernel, in pixels of the original photograph


@dataclass(frozen=True)
class AxisBlur:
    """An odd `kernel_size` and `sigma`, in pixels of the image at hand."""

    kernel_size: int
    sigma: float


@dataclass(frozen=True)
class AxisResize:
    """The sizes after each step, the last one being the target."""

    sizes: tuple[int, ...]


AxisOperation = AxisBlur | AxisResize | Jpeg


@lru_cache(maxsize=4096)
def plan_axis(operations: tuple[Operation, ...], side: int, original: Fraction) -> tuple[AxisOperation, ...]:
    """One entry per operation for an axis of `side` pixels whose original had `original` pixels (the same, unless it was shrunk before).

    Raises SoliError when less than one pixel would be left.
    """
    plan: list[AxisOperation] = []
    for operation in operations:
        if isinstance(operation, Blur):
            plan.append(_plan_blur(operation, Fraction(side) / original))
        elif isinstance(operation, Resize):
            plan.append(_plan_resize(operation, side, original))
            side, original = plan[-1].sizes[-1], Fraction(math.floor(original * operation.ratio))
        else:
            plan.append(operation)
    return tuple(plan)


def final_size(plan: tuple[AxisOperation, ...], side: int) -> int:
    """The side after all operations, in pixels."""
    return next((step.sizes[-1] for step in reversed(plan) if isinstance(step, AxisResize)), side)


def _plan_blur(blur: Blur, scale: Fraction) -> AxisBlur:
    """The kernel shrinks with the photograph, to the nearest odd width."""
    radius = max(0, round((KERNEL_SIZE * scale - 1) / 2))
    return AxisBlur(2 * radius + 1, float(blur.sigma * scale))


def _plan_resize(resize: Resize, side: int, original: Fraction) -> AxisResize:
    """Exact fractions: 375 * 0.2 is 75, which binary floating point may miss."""
    target = min(side, math.floor(original * resize.ratio))
    if target < 1:
        raise SoliError("less than one pixel would be left")
    step_ratio = min(1.0, float(original * resize.ratio / side)) ** (1 / resize.steps)
    between = [max(target, round(side * step_ratio**step)) for step in range(1, resize.steps)]
    return AxisResize((*between, target))
