"""Whether a value of a config fits a type annotation, and how both read in an error message."""

from __future__ import annotations

import math
import types
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin


def accepts(value: object, kind: Any) -> bool:
    """Whether `value`, made of plain Python containers, fits the annotation: int is accepted for float, bool is not an int."""
    origin, parameters = get_origin(kind), get_args(kind)
    if kind is Any:
        return True
    if origin in (Union, types.UnionType):
        return any(accepts(value, member) for member in parameters)
    if origin is Literal:
        return any(value == choice and type(value) is type(choice) for choice in parameters)
    if kind is None or kind is types.NoneType:
        return value is None
    if (origin or kind) in (list, tuple, Sequence, Iterable):
        return isinstance(value, list) and all(accepts(item, parameters[0]) for item in value if parameters)
    if (origin or kind) in (dict, Mapping):
        return isinstance(value, Mapping) and all(accepts(item, parameters[1]) for item in value.values() if parameters)
    return _is_scalar(value, kind)


def _is_scalar(value: object, kind: type) -> bool:
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, str if kind is Path else kind)


def members(kind: Any) -> tuple[Any, ...]:
    """The alternatives of a union; any other kind alone."""
    return get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)


def choices(kind: Any) -> list[str]:
    """The texts that a kind lists as literals."""
    return [show(choice) for member in members(kind) if get_origin(member) is Literal for choice in get_args(member)]


def describe(kind: Any) -> str:
    """The kind in words: `a whole number or null`."""
    names = {
        int: "a whole number",
        float: "a number",
        bool: "true or false",
        str: "text",
        Path: "text",
        types.NoneType: "null",
        None: "null",
    }
    words = []
    for member in members(kind):
        origin, parameters = get_origin(member), get_args(member)
        if origin is Literal:
            words += choices(member)
        elif (origin or member) in (list, tuple, Sequence, Iterable):
            words.append(
                "a list such as [a,b]" if parameters[:1] == (str,) else f"a list of {describe(parameters[0])}" if parameters else "a list"
            )
        elif (origin or member) in (dict, Mapping):
            words.append("a mapping")
        else:
            words.append(names.get(member) or getattr(member, "__name__", str(member)))
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def show(value: object) -> str:
    """A value as a user writes it on the command line."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{show(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(show, value)) + "]"
    return str(value)
