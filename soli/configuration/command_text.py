"""A command as a user types it, quoted for Hydra and for the shell where that is needed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PLAIN_VALUE = re.compile(r"[\w./:@%+*~-]+|<.*>|\[.*\]|{.*}")  # that Hydra takes as it is
NO_TEXT = re.compile(
    r"[+-]?[\d_]*\.?[\d_]*(e[+-]?\d+)?|[+-]?inf|nan|true|false|null", flags=re.IGNORECASE
)  # that Hydra takes for another kind
PLAIN_ARGUMENT = re.compile(r"[\w./:@%+*~=,\[\]<>-]+")  # which shells do not take apart


def command_text(name: str, *arguments: str) -> str:
    """`python -m soli.train seed=1`, of the command's name and what follows it."""
    return " ".join([f"python -m soli.{name}", *map(_for_shell, arguments)])


def setting(key: str, *values: Any) -> str:
    """key=value, or key=[value,value] of several, as Hydra reads it; without a value one is left to be filled in."""
    given = [value for value in values if str(value)] or [f"<{key.rpartition('.')[2]}>"]
    quoted = list(map(_for_hydra, given))
    return f"{key}={quoted[0]}" if len(quoted) == 1 else f"{key}=[{','.join(quoted)}]"


def lists_setting(key: str, lists: Mapping[str, Sequence[Any]]) -> str:
    """key={name:[value,value],name:[value]}, as Hydra reads it; names are words."""
    named = [f"{name}:[{','.join(map(_for_hydra, values))}]" for name, values in lists.items()]
    return f"{key}={{{','.join(named)}}}"


def _for_hydra(value: Any) -> str:
    """The value as text; a path stays one where Hydra would read a number."""
    text = str(value)
    is_plain = PLAIN_VALUE.fullmatch(text) and not (isinstance(value, Path) and NO_TEXT.fullmatch(text))
    return text if is_plain else "'{}'".format(text.replace("'", "\\'"))


def _for_shell(argument: str) -> str:
    if PLAIN_ARGUMENT.fullmatch(argument):
        return argument
    return shlex.quote(argument) if re.search(r"[\"$`\\!]", argument) else f'"{argument}"'
