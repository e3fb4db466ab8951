"""What every text encoder asks of its settings."""

from __future__ import annotations

from soli.interfaces import SoliError


def check_settings(dropout: float, **sizes: int) -> None:
    """Raises SoliError for a dropout outside [0, 1) and for a size below 1."""
    if not 0 <= dropout < 1:
        raise SoliError(f"text_encoder.dropout={dropout} must be at least 0 and below 1.")
    for name, size in sizes.items():
        if size < 1:
            raise SoliError(f"text_encoder.{name}={size} must be at least 1.")
