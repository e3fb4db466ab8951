"""From a config's `_target_` to the object it describes.

Only classes of soli's families are ever called, and those that modules define which the user names in the environment variable SOLI_PARTS:
the config may be a stranger's.
"""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, get_type_hints

from omegaconf import OmegaConf

from soli.configuration.kinds import show
from soli.interfaces import SoliError
from soli.spelling import nearest

# The families of parts. Other code of soli writes files, which the config in a stranger's run folder must not reach.
FAMILIES = ("datasets", "degradations", "encoders", "decoders", "text_encoders", "losses", "negatives")
OWN = "SOLI_PARTS"
ALLOWED = f"Name a class of a module of yours that {OWN} has, or one in soli's {', '.join(FAMILIES)}, such as soli.encoders.ResNetEncoder."
FAMILY_OF = {  # the sections of a config
    "dataset": "datasets",
    "encoder": "encoders",
    "decoder": "decoders",
    "text_encoder": "text_encoders",
    "contrastive": "losses",
    "negatives": "negatives",
    "matching.loss": "losses",
    "matching.negatives": "negatives",
}


class UnknownPart(SoliError):
    """A config names a part that is not here."""


def build(node: Mapping[str, Any], **extra: Any) -> Any:
    """`node["_target_"]` called with the other keys of `node` and with `extra`, all as plain Python containers.

    Raises SoliError for a target that is no class of a family, and for keys that are unknown, missing or given twice.
    """
    arguments = {str(key): _plain(value) for key, value in _items(node)}
    target = arguments.pop("_target_", None)
    function = find_target(target)
    twice = sorted(arguments.keys() & extra.keys())
    if twice:
        raise SoliError(f"{target}: {', '.join(twice)} comes from soli itself. Leave it out of the config.")
    _check_names(str(target), function, {**arguments, **extra})
    return function(**arguments, **extra)


def find_target(target: object) -> Callable[..., Any]:
    """The class of a family with this dotted name, or of a module of the user's (SOLI_PARTS).

    Raises SoliError when there is none, or it was defined elsewhere.
    """
    if isinstance(target, str) and target.partition(".")[0] in _own_modules():
        return _find_own(target)
    if not isinstance(target, str) or target.split(".")[0] != "soli":
        raise UnknownPart(f"_target_={show(target)} is not a part of soli. {ALLOWED}")
    found: Any = importlib.import_module("soli")
    for position, name in enumerate(target.split(".")[1:], start=1):
        here, found = found, _member(found, name)
        if found is None:
            before = ".".join(target.split(".")[:position])
            raise SoliError(f"_target_={target}: {before} has no {name}{nearest(name, _parts(here))}. {ALLOWED}")
    if not inspect.isclass(found) or not _is_part(found.__module__):
        raise SoliError(f"_target_={target} is refused: it is no class of a family of parts. {ALLOWED}")
    return found


def check_family(target: Callable[..., Any], section: str) -> None:
    """Raises SoliError for a class of soli's that is of another family than the section of a config is about."""
    if not _is_ours(target.__module__):
        return
    family, wanted = target.__module__.split(".")[1], FAMILY_OF.get(section)
    if wanted not in (None, family):
        raise SoliError(f"_target_={target.__module__}.{target.__name__} is one of soli's {family}: give one of its {wanted}.")


def _own_modules() -> list[str]:
    """Modules, or packages, of the user's. Raises UnknownPart for Python's own and for soli."""
    names = [name.strip() for name in os.environ.get(OWN, "").split(",") if name.strip()]
    for name in names:
        if not name.isidentifier() or name in sys.stdlib_module_names or name == "soli":
            raise UnknownPart(f"{OWN}={show(os.environ[OWN])} must be names of modules or packages of your own, with commas between them.")
    return names


def _find_own(target: str) -> Callable[..., Any]:
    """A class that a module of the user's, or a part of a package, defines; what it has imported is none of these."""
    module, _, name = target.rpartition(".")
    try:
        found = getattr(importlib.import_module(module or target), name, None)
    except Exception as reason:  # whatever the user's own code raises
        said = f"{type(reason).__name__}: {reason}"
        raise UnknownPart(f"_target_={target}: {said}. Mend the module, or put the folder that holds it into PYTHONPATH.") from reason
    if not inspect.isclass(found) or found.__module__.partition(".")[0] not in _own_modules():
        raise UnknownPart(f"_target_={target} is no class that {module or target} defines: give its full name, such as my_parts.MyEncoder.")
    return found


def parameters(function: Callable[..., Any]) -> tuple[dict[str, Any], bool]:
    """The annotation of every keyword that `function` takes (Any where it has none), and whether it takes others too."""
    hints = get_type_hints(function.__init__ if inspect.isclass(function) else function)
    found = inspect.signature(function).parameters.values()
    named = {one.name: hints.get(one.name, Any) for one in found if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)}
    return named, any(one.kind is one.VAR_KEYWORD for one in found)


def _member(parent: Any, name: str) -> Any:
    """An attribute, or a module of soli that is not imported yet; None when there is neither."""
    if hasattr(parent, name):
        return getattr(parent, name)
    if not (isinstance(parent, ModuleType) and _is_ours(parent.__name__)) or not name:
        return None
    module = f"{parent.__name__}.{name}"
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as reason:
        if reason.name not in (module, parent.__name__):
            raise
        return None


def _parts(parent: Any) -> list[str]:
    """Names in `parent` that a target could mean."""
    return [
        name
        for name, value in getattr(parent, "__dict__", {}).items()
        if _is_ours(getattr(value, "__module__", getattr(value, "__name__", None)))
    ]


def _is_ours(module: object) -> bool:
    return isinstance(module, str) and module.split(".")[0] == "soli"


def _is_part(module: object) -> bool:
    package, _, rest = str(module).partition(".")
    return package == "soli" and rest.partition(".")[0] in FAMILIES


def _check_names(target: str, function: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
    names, takes_others = parameters(function)
    listed = f"It takes {', '.join(names) or 'no arguments'}."
    for name, value in arguments.items():
        if name not in names and not takes_others:
            raise SoliError(f"{target} has no argument {name}{nearest(name, names)}. {listed}")
        if isinstance(value, str) and value == "???":
            raise SoliError(f"{target}: {name} has no value. Give it one.")
    required = [one.name for one in inspect.signature(function).parameters.values() if one.default is one.empty and one.name in names]
    missing = [name for name in required if name not in arguments]
    if missing:
        raise SoliError(f"{target} needs {', '.join(missing)}. {listed}")


def _items(node: Mapping[str, Any]) -> list[tuple[Any, Any]]:
    return list(_plain(node).items()) if OmegaConf.is_config(node) else list(node.items())


def _plain(value: Any) -> Any:
    """`value` with Python's containers in place of Hydra's, at every depth."""
    if OmegaConf.is_config(value):
        return OmegaConf.to_container(value, resolve=True)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value
