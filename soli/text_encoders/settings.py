"""What every text encoder asks of its settings."""

from __future__ import annotations

from soli.interfaces import check_value

LARGEST, MOST_LAYERS = 1_000_000, 1000  # of a model that can be built


def check_settings(dropout: float, **sizes: int) -> None:
    """Raises SoliError for a dropout outside [0, 1) and for a size below 1."""
    check_value("text_encoder.dropout", dropout, 0 <= dropout < 1, "at least 0 and below 1")
    for name, size in sizes.items():
        most = MOST_LAYERS if "layers" in name else LARGEST
        check_value(f"text_encoder.{name}", size, 1 <= size <= most, f"at least 1 and at most {most}")
