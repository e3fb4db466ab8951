"""What --help prints: the page at the head of a command's yaml, with the choices, values and comments of the yaml files themselves.

The page is a comment: a sentence, then lines under `Used most:` and `Examples:`. A key there without a text has that of its own line.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from soli.configuration.arguments import OPTIONS
from soli.configuration.folder import config_folder

WIDTH, INDENT = 100, 27
SETTING = re.compile(r"(?P<indent> *)(?:- )?(?P<key>\w+):(?: +(?P<value>\S.*?))??(?: +# (?P<comment>.*))?")


@dataclass(frozen=True)
class Page:
    """A command's yaml as a page: what the command does, keys with their texts, commands; and of every key its value and comment."""

    about: str
    keys: Mapping[str, str]
    examples: Sequence[str]
    settings: Mapping[str, tuple[str, str]]

    @classmethod
    def of(cls, config_name: str) -> Page:
        text = (config_folder() / f"{config_name}.yaml").read_text(encoding="utf-8")
        head = [line.removeprefix("#").rstrip() for line in text.splitlines()]
        keys = dict(line.strip().partition(" ")[::2] for line in _under(head, "Used most:"))
        settings = comments(text)
        texts = {key: given.strip() or settings[key][1] for key, given in keys.items()}
        return cls(head[0].strip(), texts, [line.strip() for line in _under(head, "Examples:")], settings)


def help_page(config_name: str, groups: Mapping[str, Sequence[str]]) -> str:
    """The text, at most 100 columns wide; `groups` has the choices of each group of the command."""
    page = Page.of(config_name)
    lines = [page.about, "", f"usage: python -m soli.{config_name} [key=value ...] [--multirun] [--cfg job] [--help]"]
    if groups:
        lines += ["", "groups, with the choice that is taken unless another is given:"]
    for group, choices in groups.items():
        default, comment = page.settings[f"defaults.{group}"]
        lines += _entry(f"{group}={default}", f"{comment}: {', '.join(choices)}")
    lines += ["", "keys used most:"]
    for key, comment in page.keys.items():
        value = page.settings.get(key, ("", ""))[0].replace("???", "<value>")
        lines += _entry(f"{key}={value}" if value else key, comment)
    lines += ["", "examples:", *(f"  {example}" for example in page.examples), "", "options:"]
    for option in OPTIONS:
        lines += _entry(", ".join(filter(None, [option.short, option.usage])), option.help)
    lines += ["", "all keys: --cfg job; what they mean, and how these pages are written:"]
    return "\n".join([*lines, f"  {config_folder() / config_name}.yaml"])


def comments(text: str) -> dict[str, tuple[str, str]]:
    """Of every key of a yaml, dotted, its value as written and its comment, which further lines may continue."""
    found: dict[str, tuple[str, str]] = {}
    parents: list[tuple[int, str]] = []
    path = ""
    for line in text.splitlines():
        setting = SETTING.fullmatch(line)
        if setting:
            indent = len(setting["indent"])
            parents = [*(parent for parent in parents if parent[0] < indent), (indent, setting["key"])]
            path = ".".join(key for _, key in parents)
            found[path] = (setting["value"] or "", setting["comment"] or "")
        elif line.lstrip().startswith("#") and path:
            value, comment = found[path]
            found[path] = (value, f"{comment} {line.lstrip(' #')}")
        else:
            path = ""
    return found


def _under(head: Sequence[str], title: str) -> list[str]:
    """The indented lines below a title."""
    start = head.index(f" {title}") + 1
    end = next(number for number, line in enumerate(head) if number >= start and not line.startswith("   "))
    return list(head[start:end])


def _entry(name: str, text: str) -> list[str]:
    """A name, and beside it its text on as many lines as it takes."""
    beside = textwrap.wrap(text, WIDTH - INDENT, break_long_words=False, break_on_hyphens=False)
    return [f"{f'  {name} ':{INDENT}}{beside[0]}", *(f"{'':{INDENT}}{line}" for line in beside[1:])]
