"""Charts of the report as SVG elements: scores against pixels, and embeddings on two axes. Colours come from the page's style."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from soli.evaluation.report_parts import escape, is_finite, number

ORIGINAL = "original"
CIRCLE = "M-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0 -9 0Z"
SHAPES = (
    "M-3.5 -3.5H3.5V3.5H-3.5Z",
    "M0 -4.5L4.5 3.5H-4.5Z",
    "M0 -5L5 0L0 5L-5 0Z",
    "M-4 -4L4 4M-4 4L4 -4",
    "M0 4.5L4.5 -3.5H-4.5Z",
    "M-5 0H5M0 -5V5",
)
NUM_COLOURS = 7  # beside the original's; no divisor of it is a number of shapes, so that 42 families look different
CHARACTER = 7  # width of a digit, in the units of the charts


@dataclass(frozen=True)
class Axis:
    """Values from `low` to `high` -> places from `start` to `end`, linear or logarithmic; a range of one value lies in the middle."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def __call__(self, value: float) -> float:
        low, high, value = (math.log2(each) if self.logarithmic else each for each in (self.low, self.high, value))
        share = (value - low) / (high - low) if high > low else 0.5
        return self.start + share * (self.end - self.start)


def nice_step(span: float, most: int = 5) -> float:
    """The smallest of 1, 2 and 5 times a power of ten that divides `span` > 0 into at most `most` parts."""
    power = 10.0 ** math.floor(math.log10(span / most))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power * most >= span * (1 - 1e-9))


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """The round values from `low` to `high`, at most `most` + 1 of them."""
    step = nice_step(high - low, most)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [index * step for index in range(first, last + 1)]


def spread(labels: Mapping[float, str]) -> list[float]:
    """The places, of all that have a label, whose labels can stand side by side: both ends, then what fits, from the end on."""
    kept: list[float] = []
    places = sorted(labels, reverse=True)
    for place in [*places[:1], *places[-1:], *places[1:-1]]:
        if all(abs(place - other) >= CHARACTER * (len(labels[place]) + len(labels[other]) + 2) / 2 for other in kept):
            kept.append(place)
    return kept


def family_styles(families: Iterable[str]) -> dict[str, int]:
    """A number for the look of each family, in the order of their first appearance; 0 is the original's."""
    return {name: index for index, name in enumerate(dict.fromkeys([ORIGINAL, *families]))}


def marker(style: int) -> str:
    """The sign of a family around (0, 0): its colour's class and its shape."""
    shape = SHAPES[(style - 1) % len(SHAPES)] if style else CIRCLE
    return f'<path class="mark {_colour(style)}" d="{shape}"/>'


def legend(styles: Mapping[str, int], baseline: str | None = None) -> str:
    """The signs of the families with their names, and what the dashed line is."""
    signs = [(f'<svg viewBox="-8 -8 16 16" aria-hidden="true">{marker(style)}</svg>', name) for name, style in styles.items()]
    if baseline:
        signs.append(('<svg viewBox="-8 -8 16 16" aria-hidden="true"><path class="baseline" d="M-8 0H8"/></svg>', baseline))
    return '<ul class="legend">' + "".join(f"<li>{sign}<bdi>{escape(name)}</bdi></li>" for sign, name in signs) + "</ul>"


def curves(
    metric: str,
    rows: Sequence[Mapping[str, Any]],
    styles: Mapping[str, int],
    baseline: float | None = None,
    width: int = 360,
    height: int = 250,
) -> str:
    """The metric from 0 on against the side in pixels, on a log2 axis; a line joins each family, from the original on.

    `rows` are those of metrics.json. What has no side above 0 or no score has no point.
    """
    rows = [row for row in rows if is_finite(row.get(metric)) and is_finite(row.get("side")) and row["side"] > 0]
    sides = [row["side"] for row in rows] or [1]
    top = max([row[metric] for row in rows] + [baseline if is_finite(baseline) else 0], default=0)
    step = nice_step(top if top > 0 else 1)
    top = max(math.ceil(top / step - 1e-9), 1) * step
    x = Axis(min(sides), max(sides), 48, width - 16, logarithmic=True)
    y = Axis(0, top, height - 42, 26)
    parts = [
        f'<text class="name" x="4" y="13">{escape(metric)}</text>',
        *(_horizontal(y(value), width, number(value, decimals(step))) for value in ticks(0, top)),
        *_pixel_ticks(x, sides if rows else [], height),
        f'<text x="{(x.start + x.end) / 2:.1f}" y="{height - 36}" dy="2.4em" text-anchor="middle">side in pixels (log scale)</text>',
    ]
    if is_finite(baseline):
        title = f"<title>permuted captions: {number(baseline)}</title>"
        parts.append(f'<path class="baseline" d="M{x.start - 8} {y(baseline):.1f}H{width - 6}">{title}</path>')
    parts += [_family_line(family, rows, metric, x, y, styles) for family in styles if family != ORIGINAL]
    for row in rows:
        title = f"{row.get('condition')}: {row.get('pixels') or number(row['side'], 0)} pixels, {metric} {number(row[metric])}"
        parts.append(_point((x(row["side"]), y(row[metric])), title, styles.get(row.get("family"), 0)))
    return _svg(f"{metric} against the side in pixels", width, height, parts)


def scatter(
    points: Sequence[Sequence[Sequence[float]]],
    conditions: Sequence[str],
    families: Mapping[str, str],
    styles: Mapping[str, int],
    explained: Sequence[float | None],
    width: int = 360,
    height: int = 320,
) -> str:
    """Photographs at every condition on two axes of equal scale, (photographs, conditions, 2); thin lines run from the original.

    `families` names the family of a condition, `explained` holds the two axes' shares of the variance.
    """
    drawn = [point for photograph in points for point in photograph if all(map(is_finite, point))] or [[0.0, 0.0]]
    middle = [(min(column) + max(column)) / 2 for column in zip(*drawn)]
    left, right, top, bottom = 48, width - 12, 12, height - 42
    unit = max(
        (max(abs(point[0] - middle[0]) for point in drawn)) / ((right - left) / 2 - 8),
        (max(abs(point[1] - middle[1]) for point in drawn)) / ((bottom - top) / 2 - 8),
        1e-9,
    )
    reach = (unit * (right - left) / 2, unit * (bottom - top) / 2)
    x = Axis(middle[0] - reach[0], middle[0] + reach[0], left, right)
    y = Axis(middle[1] - reach[1], middle[1] + reach[1], bottom, top)
    step = nice_step(2 * min(reach), 4)
    shares = [f"axis {index + 1} ({number(100 * share if is_finite(share) else None, 1)} %)" for index, share in enumerate(explained[:2])]
    parts = [_horizontal(y(value), width, number(value, decimals(step))) for value in _multiples(y, step)]
    parts += [_vertical(x(value), top, bottom, number(value, decimals(step))) for value in _multiples(x, step)]
    parts.append(f'<text x="{(left + right) / 2}" y="{height - 36}" dy="2.4em" text-anchor="middle">{shares[0]}</text>')
    parts.append(f'<text transform="translate(11 {(top + bottom) / 2}) rotate(-90)" text-anchor="middle">{shares[1]}</text>')
    places = [[(x(point[0]), y(point[1])) if all(map(is_finite, point)) else None for point in photograph] for photograph in points]
    for photograph in places:
        parts += [_segment(photograph[0], place) for place in photograph[1:] if photograph[0] and place]
    for index, photograph in enumerate(places):
        for condition, place in reversed(list(zip(conditions, photograph, strict=True))):  # the original lies on top
            if place:
                style = styles.get(families.get(condition, condition), 0)
                parts.append(_point(place, f"photograph {index + 1}, {condition}", style))
    return _svg("Embeddings of photographs and their copies on two axes", width, height, parts)


def decimals(step: float) -> int:
    """How many decimals the multiples of a step need."""
    return max(0, -math.floor(math.log10(step) + 1e-9))


def _svg(title: str, width: int, height: int, parts: Iterable[str]) -> str:
    return f'<svg class="chart" viewBox="0 0 {width} {height}" role="img"><title>{escape(title)}</title>{"".join(parts)}</svg>'


def _colour(style: int) -> str:
    return f"colour{1 + (style - 1) % NUM_COLOURS if style else 0}"


def _multiples(axis: Axis, step: float) -> list[float]:
    return [index * step for index in range(math.ceil(axis.low / step), math.floor(axis.high / step) + 1)]


def _horizontal(y: float, width: int, label: str) -> str:
    return f'<path class="grid" d="M40 {y:.1f}H{width - 6}"/><text x="36" y="{y:.1f}" dy=".35em" text-anchor="end">{label}</text>'


def _vertical(x: float, top: float, bottom: float, label: str) -> str:
    line = f'<path class="grid" d="M{x:.1f} {top}V{bottom + 4}"/>'
    return f'{line}<text x="{x:.1f}" y="{bottom + 6}" dy=".95em" text-anchor="middle">{label}</text>'


def _pixel_ticks(x: Axis, sides: Iterable[float], height: int) -> list[str]:
    labels = {x(side): f"{side:.0f}" if side >= 10 else f"{side:.2g}" for side in sides}
    lines = [f'<path class="tick" d="M{place:.1f} {height - 42}v5"/>' for place in labels]
    return lines + [
        f'<text x="{place:.1f}" y="{height - 36}" dy=".95em" text-anchor="middle">{labels[place]}</text>' for place in spread(labels)
    ]


def _family_line(family: str, rows: Sequence[Mapping[str, Any]], metric: str, x: Axis, y: Axis, styles: Mapping[str, int]) -> str:
    joined = [row for row in rows if row.get("family") == ORIGINAL]
    joined += sorted((row for row in rows if row.get("family") == family), key=lambda row: -row["side"])
    places = " ".join(f"{x(row['side']):.1f},{y(row[metric]):.1f}" for row in joined)
    return f'<polyline class="line {_colour(styles[family])}" points="{places}"/>'


def _point(place: tuple[float, float], title: str, style: int) -> str:
    return f'<g transform="translate({place[0]:.1f} {place[1]:.1f})"><title>{escape(title)}</title>{marker(style)}</g>'


def _segment(start: tuple[float, float], end: tuple[float, float]) -> str:
    return f'<path class="link" d="M{start[0]:.1f} {start[1]:.1f}L{end[0]:.1f} {end[1]:.1f}"/>'
