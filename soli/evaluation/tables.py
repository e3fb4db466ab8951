"""Rows of scores as a table on the screen, as CSV, Markdown and LaTeX; whatever stands in a cell stays text there."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from soli.printing import in_a_cell, in_markdown, printable

Row = Mapping[str, Any]
PERCENT = ("drop",)  # columns with shares, shown in percent


def text_table(rows: Sequence[Row]) -> str:
    """A table with aligned columns; numbers with three decimals, a dash for what is missing."""
    columns, cells = _cells(rows)
    widths = [max(len(line[index]) for line in [columns, *cells]) for index in range(len(columns))]

    def line(values: Sequence[str]) -> str:
        return "  ".join(
            value.ljust(width) if index == 0 else value.rjust(width)
            for index, (value, width) in enumerate(zip(values, widths, strict=True))
        )

    return "\n".join([line(columns), "  ".join("-" * width for width in widths), *map(line, cells)])


def markdown_table(rows: Sequence[Row], note: str) -> str:
    """The same in Markdown, with a line below it that says what the numbers are."""
    columns, cells = _cells(rows)
    lines = [columns, ["---", *["---:"] * (len(columns) - 1)], *cells]
    note = in_a_cell(note).replace("`", "'")
    return "\n".join("| " + " | ".join(map(in_markdown, line)) + " |" for line in lines) + f"\n\n`{note}`\n"


def latex_table(rows: Sequence[Row], note: str) -> str:
    """The same in LaTeX, for \\input; needs the package booktabs. The note is a comment."""
    columns, cells = _cells(rows)
    body = [" & ".join(map(_latex, line)) + " \\\\" for line in cells]
    head = " & ".join(map(_latex, columns)) + " \\\\"
    begin = f"\\begin{{tabular}}{{l{'r' * (len(columns) - 1)}}}"
    return "\n".join([f"% {in_a_cell(note)}", begin, "\\toprule", head, "\\midrule", *body, "\\bottomrule", "\\end{tabular}", ""])


def csv_table(rows: Sequence[Row]) -> str:
    """One line per row, all columns that any row has; full precision. A text that a spreadsheet would compute begins with an apostrophe."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(_uncomputed, columns))
    writer.writerows([_uncomputed(row.get(column, "")) for column in columns] for row in rows)
    return text.getvalue()


def _uncomputed(value: Any) -> Any:
    """Numbers as they are; a text that begins like a formula with an apostrophe before it (OWASP, CSV injection)."""
    if not isinstance(value, str):
        return value
    text = printable(value)
    return f"'{text}" if value.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def _cells(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    return [in_a_cell(column) for column in columns], [[_cell(row.get(column), column in PERCENT) for column in columns] for row in rows]


def _cell(value: Any, percent: bool) -> str:
    if value is None:
        return "-"
    if percent:
        return f"{100 * value:.1f} %"
    if isinstance(value, tuple):
        return " to ".join(f"{end:+.3f}" for end in value)
    return f"{value:.3f}" if isinstance(value, float) else in_a_cell(value)


def _latex(text: str) -> str:
    special = {"\\": "\\textbackslash{}", "^": "\\textasciicircum{}", "~": "\\textasciitilde{}"}
    return "".join(special.get(character, f"\\{character}" if character in "&%$#_{}" else character) for character in text)
