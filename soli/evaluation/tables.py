"""Rows of scores as a table on the screen, as CSV, Markdown and LaTeX."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

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
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines) + f"\n\n`{note}`\n"


def latex_table(rows: Sequence[Row], note: str) -> str:
    """The same in LaTeX, for \\input; needs the package booktabs. The note is a comment."""
    columns, cells = _cells(rows)
    body = [" & ".join(map(_latex, line)) + " \\\\" for line in cells]
    head = " & ".join(map(_latex, columns)) + " \\\\"
    begin = f"\\begin{{tabular}}{{l{'r' * (len(columns) - 1)}}}"
    return "\n".join([f"% {note}", begin, "\\toprule", head, "\\midrule", *body, "\\bottomrule", "\\end{tabular}", ""])


def csv_table(rows: Sequence[Row]) -> str:
    """One line per row, all columns that any row has; full precision."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(key for row in rows for key in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _cells(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    return columns, [[_cell(row.get(column), column in PERCENT) for column in columns] for row in rows]


def _cell(value: Any, percent: bool) -> str:
    if value is None:
        return "-"
    if percent:
        return f"{100 * value:.1f} %"
    if isinstance(value, tuple):
        return " to ".join(f"{end:+.3f}" for end in value)
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _latex(text: str) -> str:
    special = {"\\": "\\textbackslash{}", "^": "\\textasciicircum{}", "~": "\\textasciitilde{}"}
    return "".join(special.get(character, f"\\{character}" if character in "&%$#_{}" else character) for character in text)
