"""The factors of an orthogonal search: what a user wrote, the values of a round, and what is left of a range after it."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import soli
from soli.interfaces import SoliError

NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
RANGE = re.compile(rf"(log:)?({NUMBER})\.\.({NUMBER})")


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, cut into as many intervals as there are levels, equal ones on a linear or logarithmic scale."""

    key: str
    low: float
    high: float
    logarithmic: bool = False
    whole: bool = False

    def values(self, levels: int) -> tuple[str, ...]:
        """The middle of each interval, to six digits (of whole numbers the nearest one)."""
        middles = [self._at((2 * level + 1) / (2 * levels)) for level in range(levels)]
        return tuple(f"{round(middle)}" if self.whole else f"{middle:.6g}" for middle in middles)

    def narrowed(self, level: int, levels: int) -> Range:
        """The interval of a level."""
        return replace(self, low=self._at(level / levels), high=self._at((level + 1) / levels))

    def _at(self, share: float) -> float:
        if self.logarithmic:
            return math.exp((1 - share) * math.log(self.low) + share * math.log(self.high))
        return (1 - share) * self.low + share * self.high

    def __str__(self) -> str:
        return f"{self.key}={'log:' * self.logarithmic}{self.low:.6g}..{self.high:.6g}"


@dataclass(frozen=True)
class Choice:
    """One value a level; where there are fewer values than levels, the first comes twice."""

    key: str
    choices: tuple[str, ...]

    def values(self, levels: int) -> tuple[str, ...]:
        return tuple(self.choices[level % len(self.choices)] for level in range(levels))

    def narrowed(self, level: int, levels: int) -> Choice:
        return replace(self, choices=(self.values(levels)[level],))

    def __str__(self) -> str:
        return f"{self.key}=[{','.join(self.choices)}]"


Factor = Range | Choice


def read_factors(given: Sequence[str]) -> tuple[list[Factor], list[str]]:
    """The factors among overrides, and the overrides that hold for all runs, among them lists that soli.train takes as they are.

    Raises SoliError for what is neither, for keys given twice, and for values that soli.train would refuse.
    """
    read = {override: parse_factor(override) for override in given}
    keys = [override.partition("=")[0] for override in given]
    for key in keys:
        if keys.count(key) > 1 and any(factor is not None and factor.key == key for factor in read.values()):
            raise SoliError(f"{key} is given {keys.count(key)} times: give it once, as a factor or for all runs.")
    plain = [override for override, factor in read.items() if factor is None]
    for override, factor in read.items():
        if isinstance(factor, Choice) and _accepted([*plain, override]):
            plain.append(override)  # a list, not a factor
    factors = [factor for override, factor in read.items() if factor is not None and override not in plain]
    for factor in factors:
        if isinstance(factor, Choice) and len(set(factor.choices)) not in (2, 3):
            raise SoliError(f"{factor}: give two or three different choices, or one value without brackets for all runs.")
    first = [f"{factor.key}={factor.choices[0]}" for factor in factors if isinstance(factor, Choice)]
    factors = [_with_kind(factor, [*plain, *first]) if isinstance(factor, Range) else factor for factor in factors]
    return factors, [override for override in given if override in plain]


def parse_factor(override: str) -> Factor | None:
    """`key=low..high`, `key=log:low..high` or `key=[a,b]`; None for another override. Raises SoliError for a range that is empty."""
    key, _, text = override.partition("=")
    if text.startswith("[") and text.endswith("]"):
        return Choice(key, tuple(split_list(text[1:-1])))
    found = RANGE.fullmatch(text)
    if found is None:
        if text.startswith("log:"):
            raise SoliError(f"{override}: write a logarithmic range as {key}=log:1e-4..1e-2.")
        return None
    low, high, logarithmic = float(found[2]), float(found[3]), found[1] is not None
    if not low < high < math.inf:
        raise SoliError(f"{override}: the first number must be below the second one.")
    if logarithmic and low <= 0:
        raise SoliError(f"{override}: a logarithmic range begins above 0.")
    return Range(key, low, high, logarithmic)


def split_list(text: str) -> list[str]:
    """The items of a list, those with commas inside brackets or quotes in one piece: `[a,b],c` -> `[a,b]` and `c`."""
    items, depth, quote = [""], 0, ""
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        else:
            depth += (character in "[{(") - (character in ")}]")
        if character == "," and not depth and not quote:
            items.append("")
        else:
            items[-1] += character
    return [item.strip() for item in items]


def _with_kind(factor: Range, others: Sequence[str]) -> Range:
    """The range, of whole numbers where soli.train takes no others. Raises SoliError where it takes neither."""
    fraction, whole = factor.low + (factor.high - factor.low) / math.pi, math.ceil(factor.low)
    try:
        soli.compose([*others, f"{factor.key}={fraction!r}"])
        return factor
    except SoliError:
        if whole <= factor.high and _accepted([*others, f"{factor.key}={whole}"]):
            return replace(factor, whole=True)
        raise


def _accepted(overrides: Sequence[str]) -> bool:
    try:
        soli.compose(overrides)
    except SoliError:
        return False
    return True
