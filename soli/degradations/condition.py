"""The names of conditions (SOLI, arXiv 2512.08873): `R0.1S50_GF500` and its grammar, read into operations in the order of application.

    condition = "original" | stage { "+" stage }
    stage     = "R" ratio "S" steps [ "_GF" sigma ] [ "_JPEG" quality ]  |  "GF" sigma  |  "JPEG" quality

Within a stage the blur comes before the resize and JPEG after it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from soli.interfaces import SoliError
from soli.spelling import kind_of

# The ten conditions that the paper trains and tests on, the photograph itself first.
PAPER_CONDITIONS = (
    "original",
    "R0.5S1",
    "R0.5S50",
    "R0.2S1",
    "R0.2S50",
    "R0.1S1",
    "R0.1S50",
    "R0.05S50",
    "R1S1_GF500",
    "R0.5S1_GF500",
)

MAX_STEPS = 1000


@dataclass(frozen=True)
class Blur:
    """Gaussian filter; `sigma` in pixels of the photograph it is applied to."""

    sigma: Fraction


@dataclass(frozen=True)
class Resize:
    """Shrink each side to floor(side * ratio) in `steps` plain bilinear steps."""

    ratio: Fraction
    steps: int


@dataclass(frozen=True)
class Jpeg:
    """Written as JPEG at Pillow's `quality` (1 to 100) and read back."""

    quality: int


Operation = Blur | Resize | Jpeg


def read_condition(spec: str) -> tuple[str, tuple[Operation, ...]]:
    """The canonical spelling of a condition, and its operations in the order of application (none for `original`).

    Raises SoliError, with the position (from 1) where reading stopped, for a condition outside the grammar above.
    """
    if not isinstance(spec, str):
        raise SoliError(f"a condition is a string such as 'R0.1S50', not {spec!r}, {kind_of(spec)}")
    if spec == "original":
        return spec, ()
    reader = _Reader(spec)
    names, operations = [], []
    while True:
        name, stage = _read_stage(reader)
        names.append(name)
        operations += stage
        if not reader.accept("+"):
            break
    if reader.position < len(spec):
        reader.fail("the end, or '+' and another stage")
    return "+".join(names), tuple(operations)


class _Reader:
    """A position in the text of a condition that only moves forward."""

    def __init__(self, text: str):
        self.text, self.position = text, 0

    def accept(self, word: str) -> bool:
        found = self.text.startswith(word, self.position)
        self.position += len(word) if found else 0
        return found

    def number(self, pattern: str, what: str) -> str:
        """The digits from here, in canonical spelling: no leading zeros, no trailing zeros after the point."""
        match = re.compile(pattern).match(self.text, self.position)
        if match is None:
            self.fail(what)
        self.position = match.end()
        whole, point, decimals = match.group().partition(".")
        return f"{whole.lstrip('0') or '0'}{point}{decimals}".rstrip("0").rstrip(".") if point else whole.lstrip("0") or "0"

    def fail(self, expected: str, position: int | None = None) -> None:
        position = self.position if position is None else position
        found = repr(self.text[position:]) if position < len(self.text) else "the end"
        raise SoliError(
            f"condition {self.text!r} does not parse: at position {position + 1} expected {expected}, found {found}. "
            "Write for example original, R0.1S50, R0.5S1_GF500, R0.2S1_JPEG30, JPEG20 or GF500+R0.2S1."
        )


def _read_stage(reader: _Reader) -> tuple[str, list[Operation]]:
    if reader.accept("R"):
        name, resize = _read_resize(reader)
        blurs, jpegs = [], []
        if reader.accept("_GF"):
            sigma, blur = _read_blur(reader)
            name, blurs = f"{name}_{sigma}", [blur]
        if reader.accept("_JPEG"):
            quality, jpeg = _read_jpeg(reader)
            name, jpegs = f"{name}_{quality}", [jpeg]
        return name, [*blurs, resize, *jpegs]
    if reader.accept("GF"):
        name, blur = _read_blur(reader)
        return name, [blur]
    if reader.accept("JPEG"):
        name, jpeg = _read_jpeg(reader)
        return name, [jpeg]
    reader.fail("a stage: R<ratio>S<steps>[_GF<sigma>][_JPEG<quality>], GF<sigma> or JPEG<quality> ('original' stands alone)")


def _read_resize(reader: _Reader) -> tuple[str, Resize]:
    start = reader.position
    ratio = reader.number(r"[0-9]{1,9}(\.[0-9]{1,12})?", "the ratio, a number such as 0.5")
    if not 0 < Fraction(ratio) <= 1:
        reader.fail("a ratio above 0 and at most 1", start)
    if not reader.accept("S"):
        reader.fail("S<steps> after the ratio, such as S1 or S50")
    start = reader.position
    steps = reader.number(r"[0-9]{1,9}", "the number of steps, such as 1 or 50")
    if not 1 <= int(steps) <= MAX_STEPS:
        reader.fail(f"a number of steps from 1 to {MAX_STEPS}", start)
    return f"R{ratio}S{steps}", Resize(Fraction(ratio), int(steps))


def _read_blur(reader: _Reader) -> tuple[str, Blur]:
    start = reader.position
    sigma = reader.number(r"[0-9]{1,9}(\.[0-9]{1,12})?", "the sigma of the blur, a number such as 500")
    if Fraction(sigma) <= 0:
        reader.fail("a sigma above 0", start)
    return f"GF{sigma}", Blur(Fraction(sigma))


def _read_jpeg(reader: _Reader) -> tuple[str, Jpeg]:
    start = reader.position
    quality = reader.number(r"[0-9]{1,9}", "the JPEG quality, a whole number such as 30")
    if not 1 <= int(quality) <= 100:
        reader.fail("a JPEG quality from 1 to 100", start)
    return f"JPEG{quality}", Jpeg(int(quality))
