"""Scores of the ladder as a table on the screen, as CSV and as JSON."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def text_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """A table with aligned columns; numbers with three decimals, a dash for what is missing."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    cells = [[_cell(row.get(column)) for column in columns] for row in rows]
    widths = [max(len(line[index]) for line in [columns, *cells]) for index in range(len(columns))]

    def line(values: Sequence[str]) -> str:
        return "  ".join(
            value.ljust(width) if index == 0 else value.rjust(width)
            for index, (value, width) in enumerate(zip(values, widths, strict=True))
        )

    return "\n".join([line(columns), "  ".join("-" * width for width in widths), *map(line, cells)])


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """One line per row, all columns that any row has; full precision."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(key for row in rows for key in row)))
        writer.writeheader()
        writer.writerows(rows)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
