"""Arguments that are no key=value, as other programs take them: `toy`, `--seed 1`, `seed 1`, `a.jpg`; the answer is the right command."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from soli.configuration.arguments import OPTIONS, Option
from soli.configuration.command_text import command_text, setting
from soli.configuration.help_page import Page
from soli.interfaces import SoliError
from soli.spelling import closest, nearest

LISTS = ("images", "runs", "conditions", "metrics")  # keys that take several values


def check_arguments(config_name: str, arguments: Sequence[str], groups: Mapping[str, Sequence[str]]) -> None:
    """Raises SoliError, with the command to type, for arguments that are neither options nor overrides. `groups`: the choices of each."""
    if not {"-h", "--help"} & set(arguments) and any(map(_is_suspect, arguments)):
        _Reading(config_name, arguments, groups).check()


class _Reading:
    """Reads arguments one by one; what was meant by them is `meant`, what is wrong `faults`."""

    def __init__(self, config_name: str, arguments: Sequence[str], groups: Mapping[str, Sequence[str]]) -> None:
        self.config_name, self.groups = config_name, groups
        self.left = list(arguments)
        self.settings = {key: value for key, (value, _) in Page.of(config_name).settings.items() if not key.startswith("defaults")}
        self.keys = [*self.settings, *groups]
        self.faults: list[str] = []
        self.meant: list[str] = []
        self.things: list[str] = []  # runs, photographs and folders that have no key

    def check(self) -> None:
        while self.left:
            given = self.left.pop(0)
            if given.startswith("-"):
                self._read_option(given)
            elif "=" in given or given.startswith("~"):
                self._read_override(given)
            else:
                self._read_word(given)
        if self.faults:
            self.meant = [*self._placed(), *self.meant]
            names = {argument.partition("=")[0] for argument in self.meant}
            self.meant += [f"{key}=<{key}>" for key, value in self.settings.items() if value == "???" and key not in names]
            raise SoliError(f"{self.faults[0]} {command_text(self.config_name, *self.meant)}")

    def _read_option(self, given: str) -> None:
        name, has_value, value = given.partition("=")
        option = next((option for option in OPTIONS if name in (option.long, option.short)), None)
        if option is not None and option.choices:
            value = value if has_value else self._next_value()
            if value not in option.choices:
                self.faults.append(f"{option.long} wants one of {', '.join(option.choices)}{nearest(value, option.choices)}. Write:")
            self.meant += [option.long, closest(value, option.choices) or option.choices[0]]
            return
        if option is not None and option.number:
            self._read_number(option, value if has_value else self._next_value())
            return
        if option is not None and has_value:
            self.faults.append(f"{name} takes no value. Write:")
            self.meant.append(name)
            return
        if option is not None or given[:2] in [option.short for option in OPTIONS if option.short]:
            self.meant.append(given)
            return
        word = name.lstrip("-").replace("-", "_")
        key, holders, intended = self._key(word), self._holders(word), closest(name, [option.long for option in OPTIONS])
        problem = f"There is no option {name}. The options are {', '.join(option.long for option in OPTIONS)}."
        if key is None and not holders and intended is not None:
            self.faults.append(f"There is no option {name} (did you mean {intended}?). Write:")
            found = next(option for option in OPTIONS if option.long == intended)
            if found.number:
                self._read_number(found, value if has_value else self._next_value())
            else:
                self.meant.append(intended)
            return
        key = key or (None if holders else self._names().get(closest(word, self._names()) or ""))
        if key is None and not holders:
            raise SoliError(problem)
        self.faults.append(f"{problem} Write key=value:")
        self.meant.append(setting(key, *([value] if has_value else self._values(key))) if key else f"{holders[0]}={word}")

    def _read_number(self, option: Option, value: str) -> None:
        """The value of an option that takes a whole number."""
        if not value.isdigit():
            self.faults.append(f"{option.long} wants a whole number. Write:")
        self.meant += [option.long, value if value.isdigit() else "2"]

    def _read_override(self, given: str) -> None:
        whole = given
        while self._has_value() and (_is_open(whole) or whole.endswith("=")):
            whole += self.left.pop(0)
        if whole != given:
            self.faults.append(f"{given} goes on after a space: leave no spaces, or quote the whole. Write:")
        if _is_open(whole):
            raise SoliError(
                f'{given}: a bracket is not closed, as when a shell takes braces apart. Quote the whole: "{given.partition("=")[0]}=...".'
            )
        self.meant.append(whole)

    def _read_word(self, given: str) -> None:
        """One that is a key, a choice of a group, or else a thing."""
        key, holders = self._key(given), self._holders(given)
        choices = {choice: group for group, of_group in self.groups.items() for choice in of_group}
        choice = None
        if self.config_name == "train" and key is None and not holders and not _is_run(Path(given)):
            names = self._names()
            intended = closest(given, [*names, *choices])
            key, choice = names.get(intended or ""), intended if intended in choices else None
        if self.left and self.left[0].startswith("="):
            self.left[0] = f"{key or given}{self.left[0]}"
            self.faults.append(f"{given} has a space before its =. Write:")
        elif key is not None:
            self.faults.append(f"{given} is not an override. Write key=value:")
            self.meant.append(setting(key, *self._values(key)))
        elif holders:
            self.faults.append(f"{given} is a choice of {' and of '.join(holders)}. Write key=value:")
            self.meant.append(f"{holders[0]}={given}")
        elif choice is not None:
            self.faults.append(f"{given} is not an override{nearest(given, choices)}. Write key=value:")
            self.meant.append(f"{choices[choice]}={choice}")
        else:
            self.faults.append(f"{given} is not an override. Write key=value:")
            self.things.append(given)

    def _placed(self) -> list[str]:
        """Runs, photographs and folders with the keys that they have in this command. Raises SoliError where none is free for them."""
        things, free = list(self.things), {key for key in self.settings if not any(was.startswith(f"{key}=") for was in self.meant)}
        found, rest = [], next((key for key in ("images", "to") if key in self.settings), None)
        if self.config_name == "train":
            strange = [thing for thing in things if not _is_run(Path(thing))]
            if strange or len(things) > 1:
                raise self._refusal([*strange, *things][0])
            return [setting("resume", *things)] if things else []
        if len(things) > 1 and {"run", "runs"} <= free:
            return [setting("runs", *things)]
        if things and "run" in free and (rest != "images" or _is_run(Path(things[0]))):
            found.append(setting("run", things.pop(0)))
        if things and rest in free and (rest == "images" or len(things) == 1):
            found.append(setting(rest, *things))
        elif things:
            raise self._refusal(things[0])
        return found

    def _refusal(self, thing: str) -> SoliError:
        return SoliError(f"{thing} is not an override. Write key=value, for example checkpoint=last or seed=1; --help lists the keys.")

    def _next_value(self) -> str:
        """The next argument, taken, if it can be a value."""
        return self.left.pop(0) if self._has_value() else ""

    def _has_value(self) -> bool:
        return bool(self.left) and not _is_override(self.left[0]) and not re.match(r"-\D", self.left[0])

    def _values(self, key: str) -> list[str]:
        """The next argument that can be a value, or all of them for a key that takes several; a switch that is off is meant to be on."""
        if self.settings.get(key) == "false" and not (self.left and self.left[0] in ("true", "false")):
            return ["true"]
        values = [self._next_value()]
        while values[-1] and key in LISTS:
            values.append(self._next_value())
        return values if len(values) == 1 else values[:-1] or values

    def _holders(self, choice: str) -> list[str]:
        """The groups that have this choice."""
        return [group for group, choices in self.groups.items() if choice in choices]

    def _names(self) -> dict[str, str]:
        """The keys by their whole and by their last names."""
        return {**{key.rpartition(".")[2]: key for key in reversed(self.keys)}, **{key: key for key in self.keys}}

    def _key(self, word: str) -> str | None:
        """The key of this name, wherever it stands, if there is one such place."""
        if word in self.keys:
            return word
        found = [key for key in self.keys if key.rpartition(".")[2] == word]
        return found[0] if len(found) == 1 else None


def _is_run(path: Path) -> bool:
    """Whether a run lies there, or nothing does and it is called like one."""
    return (path / "config.yaml").is_file() or (not path.exists() and path.suffix == "" and len(path.parts) > 1)


def _is_suspect(argument: str) -> bool:
    return not _is_override(argument) or _is_open(argument) or argument.endswith("=") or argument.startswith("=")


def _is_override(argument: str) -> bool:
    return ("=" in argument or argument.startswith("~")) and not argument.startswith("-")


def _is_open(text: str) -> bool:
    """Whether a bracket or brace is not closed, or was not opened."""
    plain = re.sub(r"'(\\.|[^'\\])*'|\"(\\.|[^\"\\])*\"|\\.", "", text)
    return any(plain.count(first) != plain.count(last) for first, last in ("[]", "{}"))
