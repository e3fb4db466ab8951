"""Words of errors: the allowed name nearest to an unknown one, and what a value is."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, allowed: Iterable[str]) -> str:
    """` (did you mean X?)` for the name of `allowed` that looks most like `name`, or nothing when none is like it."""
    found = closest(name, allowed)
    return f" (did you mean {found}?)" if found is not None else ""


def kind_of(value: object) -> str:
    """What a value is: `None`, `a str`, `an int`."""
    name = type(value).__name__
    return "None" if value is None else f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def closest(name: str, allowed: Iterable[str]) -> str | None:
    """The name of `allowed` that looks most like `name`: in its letters, or as its initials (lr for learning_rate)."""
    names = list(allowed)
    alike = difflib.get_close_matches(name.lower(), [candidate.lower() for candidate in names], n=1, cutoff=0.6)
    if alike:
        return next(candidate for candidate in names if candidate.lower() == alike[0])
    return next((candidate for candidate in names if candidate and (candidate == _initials(name) or _initials(candidate) == name)), None)


def _initials(name: str) -> str:
    return "".join(word[0] for word in name.split("_") if word)
