"""Composes a command's config with Hydra, checking overrides before Hydra sees them and values afterwards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.core.default_element import GroupDefault
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.types import Override
from hydra.core.utils import setup_globals
from hydra.errors import HydraException, OverrideParseException
from hydra.types import RunMode
from hydra.version import VersionBase, setbase
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from soli.configuration.checks import check_choice, check_complete, check_form, check_keys, check_repeated, check_values, paths
from soli.configuration.folder import config_folder
from soli.configuration.jobs import SWEEP
from soli.configuration.schema import SCHEMAS
from soli.interfaces import SoliError
from soli.spelling import nearest


def compose(overrides: Sequence[str] = (), config_name: str = "train") -> DictConfig:
    """The config of a command (train, evaluate, caption or export) with these overrides, exactly as the command would see it.

    Of a sweep (`sweep=seeds`) it is what all its jobs have in common.
    Nothing global changes: a Hydra that is already initialised stays as it is. Raises SoliError for every unknown key, choice or type.
    """
    if isinstance(overrides, str):
        raise SoliError(f"compose takes a list of overrides: compose([{overrides!r}]).")
    with hydra_version():
        config = CheckedLoader().load_configuration(config_name, [str(override) for override in overrides], RunMode.RUN)
    with open_dict(config):
        del config["hydra"]
    check_resolved(config, config_name)
    return config


def check_resolved(config: DictConfig, config_name: str) -> None:
    """Raises SoliError for keys that have no value yet, interpolations that lead nowhere, and what they resolve to."""
    try:
        plain: Any = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as reason:
        key = f"{reason.full_key}: " if getattr(reason, "full_key", None) else ""
        raise SoliError(f"{key}{str(reason).splitlines()[0]}. Check what stands between ${{ and }}.") from reason
    check_complete(plain, SCHEMAS[config_name])
    check_values(plain, SCHEMAS[config_name])


@contextmanager
def hydra_version() -> Iterator[None]:
    """Hydra behaves as version 1.3, and afterwards again as whoever else uses it in this process had asked."""
    before = VersionBase.instance().version_base
    setbase("1.3")
    try:
        yield
    finally:
        VersionBase.instance().version_base = before


class CheckedLoader(ConfigLoaderImpl):
    """Hydra's loader of configs, which lets no mistake through. Every job of a sweep passes here before the first one runs."""

    def __init__(self) -> None:
        super().__init__(create_config_search_path(str(config_folder())))
        if not OmegaConf.has_resolver("now"):
            setup_globals()  # ${now:%Y-%m-%d} and the like

    def load_configuration(self, config_name: str | None, overrides: list[str], run_mode: RunMode, *_: Any, **__: Any) -> DictConfig:
        """The config, with Hydra's own section `hydra`. Raises SoliError. For a sweep only that section: its jobs are loaded one by one."""
        name = self._known_name(config_name)
        parsed, repository = self._parse(name, overrides)
        hydra_lines = [override.input_line for override in parsed if override.is_hydra_override()]
        own = [override for override in parsed if not override.is_hydra_override()]
        defaults = self.groups(name, repository)
        if run_mode == RunMode.MULTIRUN:
            chosen = [override for override in own if override.key_or_group == SWEEP]
            config = self._load(name, [*hydra_lines, *_checked(chosen, defaults, repository)[0]], run_mode)
            config.hydra.overrides.task = [override.input_line for override in own]
            return config

        check_repeated([override.input_line for override in own])
        choices, values = _checked(own, defaults, repository)
        config = self._load(name, [*hydra_lines, *choices], run_mode)
        base = _own_part(config)
        check_values(base, SCHEMAS[name])
        for override in values:
            check_keys(override, base, list(defaults), lambda key: _choices_with(key, defaults, repository))
            group = override.key_or_group
            if not isinstance(override.value(), dict) and _choices(repository, group):  # a group of soli.train, and a section here
                raise SoliError(f"{override.input_line}: {group} is the run's own here. Leave it out, or set keys of it that there are.")
        if values:
            config = self._load(name, [*hydra_lines, *choices, *(override.input_line for override in values)], run_mode)
            check_values(_own_part(config), SCHEMAS[name])
            config.hydra.overrides.task = [override.input_line for override in own]  # in the order given
        return config

    def groups(self, config_name: str, repository: Any = None) -> dict[str, str | None]:
        """The groups of a command with the choice that each has by default."""
        defaults = (repository or self.repository).load_config(config_name).defaults_list
        return {default.group: default.value for default in defaults if isinstance(default, GroupDefault)}

    def choices(self, group: str) -> list[str]:
        """The choices of a group."""
        return _choices(self.repository, group)

    def _known_name(self, config_name: str | None) -> str:
        if config_name not in SCHEMAS:
            raise SoliError(f"There is no config {config_name}{nearest(str(config_name), SCHEMAS)}: choose one of {', '.join(SCHEMAS)}.")
        return str(config_name)

    def _parse(self, config_name: str, overrides: list[str]) -> tuple[list[Override], Any]:
        try:
            return self._parse_overrides_and_create_caching_repo(config_name, overrides)
        except OverrideParseException as reason:
            advice = "Write key=value, for example seed=1; quote a value with special characters, as in \"key='value'\"."
            raise SoliError(f"{reason.override} is not an override. {advice}") from reason

    def _load(self, config_name: str, overrides: list[str], run_mode: RunMode) -> DictConfig:
        try:
            return super().load_configuration(config_name, overrides, run_mode)
        except Exception as reason:
            if not isinstance(reason, HydraException | ValueError) and not type(reason).__module__.startswith("yaml"):
                raise
            cause = reason.__cause__ if reason.__cause__ is not None and not str(reason) else reason
            raise SoliError(" ".join(str(cause).split())) from reason  # on one line


def _checked(overrides: Sequence[Override], defaults: Mapping[str, str | None], repository: Any) -> tuple[list[str], list[Override]]:
    """The overrides that choose a file of a group, as Hydra reads them, and those that set values (as encoder={input_size:64} does too)."""
    allowed = {group: _choices(repository, group) for group in defaults}
    choices, values = [], []
    for override in overrides:
        check_form(override, allowed)
        group = override.key_or_group
        if group not in defaults or isinstance(override.value(), dict):
            values.append(override)
            continue
        check_choice(override, allowed[group], defaults[group] is None)
        if override.value() is not None:  # Hydra knows no experiment=null
            choices.append(override.input_line)
    return choices, values


def _choices(repository: Any, group: str) -> list[str]:
    inner = repository.get_group_options(group, ObjectType.GROUP)
    deeper = [f"{folder}/{choice}" for folder in inner for choice in _choices(repository, f"{group}/{folder}")]
    return [*repository.get_group_options(group, ObjectType.CONFIG), *deeper]


def _choices_with(key: str, groups: Iterable[str], repository: Any) -> list[str]:
    """The choices of a key's group whose own yaml has it: `encoder=resnet18` of `encoder.weights`."""
    group, _, inner = key.partition(".")
    if group not in groups or not inner:
        return []
    files = {choice: repository.load_config(f"{group}/{choice}") for choice in _choices(repository, group)}
    plain = {choice: OmegaConf.to_container(file.config) for choice, file in files.items() if file.header["package"] != "_global_"}
    return [f"{group}={choice}" for choice, section in plain.items() if inner in dict(paths(section))]


def _own_part(config: DictConfig) -> Mapping[str, Any]:
    """The config without Hydra's section, as plain containers, interpolations left as they are."""
    whole: Any = OmegaConf.to_container(OmegaConf.masked_copy(config, [key for key in config if key != "hydra"]))
    return whole
