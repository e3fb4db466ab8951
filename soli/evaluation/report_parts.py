"""Pieces of the report as HTML: escaped text and numbers, tables, the heat map, and the cards of photographs with their attention."""

from __future__ import annotations

import base64
import html
import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
from PIL import Image

DASH = "–"  # noqa: RUF001 - what stands for a missing value
VIEW_SIDE, WORD_SIDE, QUALITY = 160, 72, 80  # pixels of the JPEGs
AMBER = np.array([255, 176, 0], dtype=np.float32)
SHARES = {"drop", "found", "most_common_share", "unseen_words"}  # shown in %
LABELS = {  # the other keys of metrics.json are their own labels
    "drop": "drop in {headline}",
    "distinct": "different captions",
    "distance": "distance to original",
    "distance_to_others": "mean distance between photographs",
    "ratio": "ratio: that / distance at the worst condition",
    "found": "photographs whose worst copy is nearer than any other photograph",
    "std": "standard deviation of an entry",
    "uniformity": "uniformity (lower: spread wider)",
    "pc_id": "components for 90 % of the variance",
    "mean_length": "words per caption",
    "words_used": "different words",
    "most_common": "most common caption",
    "most_common_share": "its share",
    "unseen_words": "words that training captions lack",
    "encoder_flops": "flops of the encoder for a photograph",
    "decoder_flops": "flops of the decoder for a caption",
    "milliseconds": "milliseconds for a caption, one at a time (median)",
    "milliseconds_quartiles": "milliseconds for a caption (quartiles)",
    "peak_bytes": "peak memory in bytes",
    "training_steps": "steps of training",
    "training_photographs": "photographs seen in training",
    "training_seconds": "seconds of training steps",
}


@dataclass(frozen=True)
class GalleryView:
    """A photograph at a condition: the image (S, S, 3) uint8 that the encoder saw, its caption with that caption's CIDEr, and the attention
    (W, h, w) of each of its words, empty where there is none."""

    condition: str
    pixels: str
    image: np.ndarray
    caption: str
    score: float
    words: tuple[str, ...]
    maps: np.ndarray


@dataclass(frozen=True)
class GalleryEntry:
    """A photograph at every condition. `drop` is CIDEr at the original minus the mean at the degraded conditions."""

    image_id: str
    references: tuple[str, ...]
    views: tuple[GalleryView, ...]
    drop: float


def escape(value: Any) -> str:
    """Any text as HTML and XML; characters that neither allows become U+FFFD, line breaks spaces."""
    text = re.sub(
        r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]", "\ufffd", " ".join(str(value).splitlines())
    )
    return html.escape(text)


def is_finite(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def number(value: Any, digits: int = 3) -> str:
    """A number with so many decimals, whole numbers as they are, other values as text; a dash for what is missing or not finite."""
    if value is None or (isinstance(value, Real) and not math.isfinite(value)):
        return DASH
    if isinstance(value, Real) and not isinstance(value, Integral):
        return f"{float(value):.{digits}f}"
    return escape(value)


def quantity(value: Any) -> str:
    """A number of any size, readable: thousands apart, four digits below a thousand; a range where there are several."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return " to ".join(map(quantity, value))
    if not is_finite(value):
        return number(value)
    return f"{value:,.0f}" if isinstance(value, Integral) or abs(value) >= 1000 else f"{value:.4g}"


def percent(share: Any) -> str:
    return f"{number(100 * float(share), 1)} %" if is_finite(share) else DASH


def table(name: str, columns: Mapping[str, str], rows: Sequence[Mapping[str, Any]], main: str | None = None) -> str:
    """Rows of values under the labels of `columns`, in a box that scrolls sideways; the first column names the row, `main` stands out."""
    texts = {key for row in rows for key, value in row.items() if isinstance(value, str) and " " in value.strip()}
    heads = "".join(
        f'<th scope="col"{_classes(main=key == main, long=" " in label, text=key in texts)}>{escape(label)}</th>'
        for key, label in columns.items()
    )
    body = "".join(f"<tr>{''.join(_cell(key, row.get(key), columns, texts, main) for key in columns)}</tr>" for row in rows)
    return _scrolling(name, f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>")


def heat_map(name: str, names: Sequence[str], values: Sequence[Sequence[float | None]]) -> str:
    """A square of numbers, each on a tint by its share of the largest."""
    largest = max((value for row in values for value in row if is_finite(value)), default=0.0)
    digits = 1 if largest >= 10 else 2

    def tinted(value: float | None) -> str:
        share = value / largest if is_finite(value) and largest > 0 else 0.0
        return f'<td style="--share:{share:.2f}">{number(value, digits)}</td>'

    heads = "".join(f'<th scope="col"><span>{escape(each)}</span></th>' for each in names)
    body = "".join(
        f'<tr><th scope="row">{escape(each)}</th>{"".join(map(tinted, row))}</tr>' for each, row in zip(names, values, strict=True)
    )
    return _scrolling(name, f'<table class="heat"><thead><tr><td></td>{heads}</tr></thead><tbody>{body}</tbody></table>')


def facts(pairs: Mapping[str, str]) -> str:
    """Names with their values, which are HTML already."""
    return '<dl class="facts">' + "".join(f"<div><dt>{escape(name)}</dt><dd>{value}</dd></div>" for name, value in pairs.items()) + "</dl>"


def card(entry: GalleryEntry) -> str:
    """A photograph: its references, what was seen and said at every condition, and attention at the original and the worst condition."""
    references = "".join(f"<li><bdi>{escape(reference)}</bdi></li>" for reference in entry.references)
    views = "".join(map(_view, entry.views))
    strips = "".join(_strip(view) for view in attended(entry.views))
    return (
        f'<article><h3 dir="auto">{escape(entry.image_id)}</h3>'
        f'<p class="note">CIDEr at the original less its mean at the other conditions: {number(entry.drop)}. What people said:</p>'
        f'<ul class="references">{references}</ul><div class="views">{views}</div>{strips}</article>'
    )


def attended(views: Sequence[GalleryView]) -> list[GalleryView]:
    """The original, and of the degraded views the one with the lowest score, as far as they have maps."""
    mapped = [view for view in views if view.maps.size]
    degraded = [view for view in mapped if view.condition != "original" and is_finite(view.score)]
    return [view for view in mapped if view.condition == "original"] + sorted(degraded, key=lambda view: view.score)[:1]


def overlay(image: np.ndarray, attention: np.ndarray, side: int = WORD_SIDE) -> np.ndarray:
    """An image (S, S, 3) with a map (h, w) over it, uint8 (side, side, 3): dark without attention, amber where it is strongest."""
    photograph = np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BOX), dtype=np.float32)
    attention = np.nan_to_num(np.asarray(attention, dtype=np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    strength = attention / max(float(attention.max()), 1e-12)
    grid = Image.fromarray(strength).resize((side, side), Image.Resampling.BILINEAR)
    share = np.asarray(grid, dtype=np.float32)[..., None].clip(0, 1)
    return ((1 - share) * 0.55 * photograph + share * (0.6 * photograph + 0.4 * AMBER)).round().astype(np.uint8)


def jpeg(image: np.ndarray, side: int) -> str:
    """An image (S, S, 3) as a data URI, its sides at most `side` pixels."""
    picture = Image.fromarray(image)
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=QUALITY, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def _view(view: GalleryView) -> str:
    alternative = f"What the encoder saw at {view.condition}, {view.pixels} pixels"
    caption = escape(view.caption) if view.caption.strip() else '<span class="note">(empty caption)</span>'
    return (
        f'<figure><img alt="{escape(alternative)}" width="{VIEW_SIDE}" height="{VIEW_SIDE}" src="{jpeg(view.image, VIEW_SIDE)}">'
        f'<figcaption><strong>{escape(view.condition)}</strong> <span class="note">{escape(view.pixels)}, CIDEr {number(view.score)}</span>'
        f'<p dir="auto">{caption}</p></figcaption></figure>'
    )


def _strip(view: GalleryView) -> str:
    words = "".join(
        f'<li><img alt="attention for {escape(word)}" width="{WORD_SIDE}" height="{WORD_SIDE}"'
        f' src="{jpeg(overlay(view.image, attention), WORD_SIDE)}"><bdi>{escape(word)}</bdi></li>'
        for word, attention in zip(view.words, view.maps, strict=True)
    )
    return f'<p class="note">Attention per word, {escape(view.condition)}</p><ol class="words">{words}</ol>'


def _cell(key: str, value: Any, columns: Mapping[str, str], texts: set[str], main: str | None) -> str:
    if key == next(iter(columns)):
        return f'<th scope="row"><bdi>{number(value)}</bdi></th>'
    if key in texts:
        return f'<td class="text"><bdi>{number(value)}</bdi></td>'
    return f"<td{_classes(main=key == main)}>{percent(value) if key in SHARES else number(value)}</td>"


def _classes(**chosen: bool) -> str:
    names = " ".join(name for name, is_chosen in chosen.items() if is_chosen)
    return f' class="{names}"' if names else ""


def _scrolling(name: str, content: str) -> str:
    return f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(name)}">{content}</div>'
