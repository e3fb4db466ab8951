"""Every key and value of a config, and every override, against what is allowed; the first mistake is a SoliError with its remedy."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, get_args, get_origin, get_type_hints

from hydra.core.override_parser.types import Override, OverrideType

from soli.configuration.jobs import SWEEP
from soli.configuration.kinds import accepts, choices, describe, members, show
from soli.configuration.schema import Part
from soli.configuration.targets import check_family, find_target, parameters
from soli.interfaces import SoliError
from soli.spelling import closest, nearest


def check_form(override: Override, groups: Mapping[str, Sequence[str]]) -> None:
    """Raises SoliError for what is no plain `key=value`: deletions, several values, renamed groups. `groups`: the choices of each."""
    given, key = override.input_line, override.key_or_group
    if override.type is OverrideType.DEL:
        raise SoliError(
            f"{given}: nothing can be left out of the config. Give {key} another value, for example {key}=null where null is allowed."
        )
    if override.is_sweep_override() and key == SWEEP:
        raise SoliError(f"{given}: a command makes one sweep. Choose one of {_list(groups.get(key, ()))}, and give more keys as seed=1,2.")
    if override.is_sweep_override():
        raise SoliError(f"{given} gives several values: add --multirun to run a job for each, or write a list as {key}=[a,b].")
    if override.package is not None:
        raise SoliError(f"{given}: a group cannot move elsewhere. Write {key}=<choice>, of {_list(groups.get(key, ()))}.")
    if override.type is OverrideType.ADD and key in groups:
        raise SoliError(f"{given}: {key} is there already, leave out the +.")


def check_repeated(overrides: Sequence[str]) -> None:
    """Raises SoliError where the run that a command is about is given several times."""
    for key, of_key in _given_again(overrides).items():
        if key in ("run", "runs", "resume", "run_dir", "to"):
            raise SoliError(f"{' '.join(of_key)}: {key} is given {len(of_key)} times. Give it once.")


def repeated(overrides: Sequence[str]) -> list[str]:
    """Sentences on what several overrides set, of which the last one counts."""
    return [f"{key} is given {len(of_key)} times: {of_key[-1]} counts." for key, of_key in _given_again(overrides).items()]


def _given_again(overrides: Sequence[str]) -> dict[str, list[str]]:
    """The overrides of each key that has several."""
    given: dict[str, list[str]] = {}
    for override in overrides:
        given.setdefault(override.partition("=")[0].lstrip("+"), []).append(override)
    return {key: of_key for key, of_key in given.items() if len(of_key) > 1}


def check_choice(override: Override, allowed: Sequence[str], may_be_null: bool) -> None:
    """Raises SoliError for a choice that the group does not have."""
    value = override.value()
    if value in allowed or (value is None and may_be_null):
        return
    null = ", or null for none" if may_be_null else ""
    wanted = nearest(value, allowed) if isinstance(value, str) else ""
    raise SoliError(
        f"{override.input_line}: {override.key_or_group} has no choice {show(value)}{wanted}. Choose one of {', '.join(allowed)}{null}."
    )


def check_keys(override: Override, config: Mapping[str, Any], groups: Sequence[str], choices_with: Callable[[str], Sequence[str]]) -> None:
    """Raises SoliError for keys that `config`, composed from the groups alone, does not have.

    `choices_with` tells the choices of groups that have a key.
    """
    known = dict(paths(config))
    given, value = override.key_or_group, override.value()
    inside = [path for path, _ in paths(value, given)] if isinstance(known.get(given), Mapping) else []  # others say nothing of their keys
    if value == {} and isinstance(known.get(given), Mapping):
        raise SoliError(
            f"{override.input_line} changes nothing: what a mapping names is added to what is there. Set its keys, of "
            f"{_list(known[given])}, one by one; 0 or null take away."
        )
    if isinstance(value, Mapping) and isinstance(known.get(given), list):
        raise SoliError(
            f"{override.input_line}: a mapping can take the place of a list only in a yaml file. Give a list, as {given}=[a,b]."
        )
    for key in (given, *inside):
        if key not in known:
            others = choices_with(key)
            advice = f" {key} is a key of {_list(others)}: choose one of these too." if others else ""
            raise SoliError(f"{override.input_line}: {_unknown(key, list(known), groups)}{advice}")
    if override.type is OverrideType.ADD:
        raise SoliError(f"{override.input_line}: {override.key_or_group} is there already, leave out the +.")


def check_values(value: Any, kind: Any, key: str = "") -> None:
    """Raises SoliError for what in `value` does not fit `kind`: a settings class, Part, or any annotation.

    Missing values (???) and interpolations pass: they are looked at when everything is known.
    """
    if isinstance(value, str) and (value == "???" or "${" in value):
        return
    if value == "" or (isinstance(value, list) and "" in value):
        shown = show(["''" if item == "" else item for item in value] if isinstance(value, list) else value)
        raise SoliError(f"{key}={shown} holds an empty text: give {describe(kind)}, or leave it out.")
    sections = [member for member in members(kind) if _is_section(member)]
    section = sections[0] if sections else None
    if section is None or (not isinstance(value, Mapping) and (_fits(value, kind) or len(members(kind)) > len(sections))):
        if not _fits(value, kind):
            raise SoliError(_wrong_value(key, value, kind))
        return
    if not isinstance(value, Mapping):
        raise SoliError(f"{key}={show(value)} is not a section of keys: set them one by one, as {key}.<key>=<value>.")
    fields, takes_others = _fields(value, section, key)
    for name, item in value.items():
        path = f"{key}.{name}" if key else str(name)
        if name in fields:
            check_values(item, fields[name], path)
        elif not takes_others:
            raise SoliError(
                f"{path}={show(item)}: there is no key {path}{nearest(str(name), fields)}. {key or 'The config'} takes {_list(fields)}."
            )


def check_complete(config: Mapping[str, Any], kind: Any) -> None:
    """Raises SoliError that names all keys that still have no value."""
    missing = [key for key, value in paths(config) if isinstance(value, str) and value == "???"]
    if missing:
        remedies = [f"{key}=<value>{_or_null(config, kind, key)}" for key in missing]
        raise SoliError(f"{', '.join(missing)} must be given: add {' '.join(remedies)}.")


def _or_null(config: Mapping[str, Any], kind: Any, key: str) -> str:
    for name in key.split("."):
        section = next((member for member in members(kind) if _is_section(member)), None)
        if section is None:
            return ""
        kind, config = _fields(config, section, key)[0].get(name), config[name]
    return f" (or {key}=null)" if accepts(None, kind) else ""


def _is_section(kind: Any) -> bool:
    return kind is Part or dataclasses.is_dataclass(kind) or get_origin(kind) is dict


def _fields(value: Mapping[str, Any], section: Any, key: str) -> tuple[dict[str, Any], bool]:
    """The kind of each key that a section may have, and whether it may have others too."""
    if section is Part:
        try:
            target = find_target(value.get("_target_"))
            check_family(target, key)
            named, takes_others = parameters(target)
        except SoliError as reason:
            raise type(reason)(f"{key}.{reason}" if str(reason).startswith("_target_") else str(reason)) from reason
        return {"_target_": str, **named}, takes_others
    if get_origin(section) is dict:
        return dict.fromkeys(value, get_args(section)[1]), False
    return get_type_hints(section), False


def _fits(value: Any, kind: Any) -> bool:
    """`accepts`, where an item of a list may be an interpolation."""
    if isinstance(value, list):
        value = [item for item in value if not (isinstance(item, str) and "${" in item)]
    return accepts(value, kind)


def _wrong_value(key: str, value: Any, kind: Any) -> str:
    wanted = nearest(value, choices(kind)) if isinstance(value, str) else ""
    is_scalar = isinstance(value, bool | int | float)
    quote = f" To pass {show(value)} as text, quote it: \"{key}='{show(value)}'\"." if is_scalar and accepts("", kind) else ""
    one = f" Write {key}=[{value}]." if isinstance(value, str) and accepts([value], kind) else ""
    return f"{key}={show(value)} must be {describe(kind)}{wanted}.{quote}{one}"


def _unknown(key: str, known: Sequence[str], groups: Sequence[str]) -> str:
    """`there is no key optimizer.lrr (did you mean optimizer.lr?). optimizer has lr, ...`"""
    parent = key.rpartition(".")[0]
    wanted = _meant(key, list(dict.fromkeys([*known, *groups])))
    phrase = f" (did you mean {' or '.join(wanted[:3])}?)" if wanted else ""
    if parent in known:
        siblings = [path.removeprefix(f"{parent}.") for path in known if path.rpartition(".")[0] == parent]
        if not siblings:
            return f"there is no key {key}: {parent} has one value, set it as {parent}=<value>."
        return f"there is no key {key}{phrase}. {parent} has {_list(siblings)}."
    top = [path for path in known if "." not in path and path not in groups]
    listed = f"Groups: {_list(groups)}; keys: {_list(top)}" if groups else f"Keys: {_list(top)}"
    return f"there is no {'group or ' if groups else ''}key {key}{phrase}. {listed}."


def _meant(key: str, known: Sequence[str]) -> list[str]:
    """The keys that `key` could stand for: one like it beside it, or of its name elsewhere, or like it elsewhere."""
    parent, _, name = key.rpartition(".")
    others = [path for path in known if not key.startswith(f"{path}.")]  # not the sections that it is in
    others = [path for path in others if not any(path.endswith(f".{plain}") for plain in others)]  # optimizer.lr, not that of a phase
    siblings = {path.rpartition(".")[2]: path for path in others if path.rpartition(".")[0] == parent}
    beside = siblings.get(closest(name, siblings) or "")
    if beside is not None:
        return [beside]
    namesakes = [path for path in others if path.rpartition(".")[2] == name]
    if namesakes or parent in known:
        return namesakes
    by_name = {path.rpartition(".")[2]: path for path in others}
    elsewhere = closest(key, others) or by_name.get(closest(name, by_name) or "")
    return [] if elsewhere is None else [elsewhere]


def paths(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every dotted key below a mapping with its value, sections included."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            path = f"{prefix}.{name}" if prefix else str(name)
            yield path, item
            yield from paths(item, path)


def _list(names: Any) -> str:
    return ", ".join(map(str, names)) or "none"
