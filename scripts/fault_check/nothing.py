"""A job that does nothing: what Hydra composes for it is what the warm process wants to remember."""

from __future__ import annotations


def main(config: object) -> None:
    """Does nothing."""
