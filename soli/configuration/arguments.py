"""The options of a command, beside which all is key=value."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NamedTuple, NoReturn

from soli.interfaces import SoliError


class Option(NamedTuple):
    """A word that begins with dashes; with `choices` one of these follows it, with `number` a whole number, which has that name."""

    short: str
    long: str
    help: str
    choices: tuple[str, ...] = ()
    number: str = ""

    @property
    def usage(self) -> str:
        return " ".join(filter(None, [self.long, "|".join(self.choices), self.number]))


OPTIONS = (
    Option("-m", "--multirun", "one job for each combination of comma-separated values"),
    Option("-j", "--jobs", "of several jobs N at a time, each on a GPU or a share of the cores", number="N"),
    Option("-c", "--cfg", "print the config instead of running", ("job", "hydra", "all")),
    Option("", "--resolve", "with --cfg: fill in what stands between ${ and }"),
    Option("-h", "--help", "print this page"),
)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise SoliError(f"{message[0].upper()}{message[1:]}. The options are {', '.join(option.usage for option in OPTIONS)}.")


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options by their names, and the rest as `overrides`. Raises SoliError for options that do not exist, or lack their choice."""
    parser = _Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("overrides", nargs="*")
    for option in OPTIONS:
        settings = {"choices": option.choices} if option.choices else {"type": int} if option.number else {"action": "store_true"}
        parser.add_argument(*filter(None, [option.long, option.short]), **settings)
    return parser.parse_intermixed_args(arguments)
