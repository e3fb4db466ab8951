"""Text of others on a terminal: names, captions and messages may hold codes that move the cursor, change colours or hide what is there."""

from __future__ import annotations

import re
from collections.abc import Sequence

# Control characters but line breaks and tabs, marks that turn the direction of writing, half characters.
CODES = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: object) -> str:
    r"""The text with every code written out, an escape as \x1b."""
    return CODES.sub(lambda found: found.group().encode("unicode_escape").decode("ascii"), str(text))


def short(text: object, most: int = 200) -> str:
    """The text, or its beginning."""
    return str(text) if len(str(text)) <= most else f"{str(text)[:most]}..."


def first_few(items: Sequence[str], most: int = 5, between: str = ", ") -> str:
    """The first of them, and how many more there are: `a, b and 3 more`."""
    more = len(items) - most
    return between.join(items[:most]) + (f"{' ' if between == ', ' else between}and {more} more" if more > 0 else "")


def in_a_cell(text: object) -> str:
    """The text as `printable` has it, on one line, for tables."""
    return printable(" ".join(str(text).splitlines()).replace("\t", " "))


def in_markdown(text: object) -> str:
    """The same in Markdown: neither HTML nor a link, a picture, code or a further cell."""
    escaped = in_a_cell(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\|`*\[\]!])", r"\\\1", escaped)
