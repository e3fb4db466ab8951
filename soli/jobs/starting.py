"""What a run starts from besides random weights: pretrained parts, a whole pretrained captioner, or another run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig

from soli.bridge import load_pretrained, pretrained_sections, read_tokens
from soli.configuration import find_target, job_overrides
from soli.configuration.jobs import job_choice
from soli.decoders import GPT2Decoder
from soli.encoders import ViTEncoder
from soli.interfaces import SoliError
from soli.model import Captioner
from soli.runs import STARTING_FILES, Tokens, load_tokenizer, read_config, without_files
from soli.training.checkpoint import load_weights

PRETRAINED_PARTS = {"encoder": ViTEncoder, "decoder": GPT2Decoder}  # of the models that model.pretrained names


def starts_trained(settings: Mapping[str, Any]) -> bool:
    """Whether the whole captioner has learnt something before."""
    return settings["init_from"] is not None or settings["model"]["pretrained"] is not None


def has_learnt_captions(settings: Mapping[str, Any]) -> bool:
    """Whether the run of this config learns captions, or starts from a captioner that has."""
    learns = any(phase["losses"].get("caption") for phase in settings["variant"]["phases"].values())
    return learns or starts_with_captions(settings)


def starts_with_captions(settings: Mapping[str, Any]) -> bool:
    """Whether the captioner has learnt captions before: a pretrained one, or another run that did. A run that is gone may have."""
    if settings["init_from"] is None:
        return settings["model"]["pretrained"] is not None
    folder = Path(settings["init_from"])
    return not (folder / "config.yaml").is_file() or has_learnt_captions(read_config(folder, key="init_from"))


def check_captions(run: str | Path, settings: Mapping[str, Any]) -> None:
    """Raises SoliError for a run that has learnt no captions."""
    if not has_learnt_captions(settings):
        raise SoliError(f"run={run} has learnt no captions, but to match them: evaluate it with soli.evaluate metrics=retrieval.")


def check_replaced(settings: Mapping[str, Any]) -> None:
    """Raises SoliError for overrides of an encoder or decoder that `model.pretrained` would replace by one of another class."""
    source = settings["model"]["pretrained"]
    for part, kind, choice in (("encoder", "ViTEncoder", "vit_b16"), ("decoder", "GPT2Decoder", "gpt2")):
        given = _overrides_of(part)
        if source is not None and given and not _has_part(settings, part):
            raise SoliError(
                f"{given[0]} is for a {settings[part]['_target_'].rpartition('.')[2]}, and model.pretrained={source} puts a {kind} there. "
                f"Leave it out, or choose {part}={choice} with {part}.weights=null{' decoder.tokenizer=null' if part == 'decoder' else ''} "
                "to set the keys of that one."
            )


def completed(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config with what pretrained weights say of their architecture, so that the run folder alone suffices to build the model.

    Raises SoliError for weights that cannot be used, or that come from two sources.
    """
    config = like_start(_with_pretrained(config))
    parts = {part: getattr(find_target(config[part]["_target_"]), "complete", dict)(config[part]) for part in ("encoder", "decoder")}
    return {**config, **parts}


def _overrides_of(section: str) -> list[str]:
    """The overrides of the command that are about a section of the config."""
    return [override for override in job_overrides() if override.lstrip("+").startswith((f"{section}=", f"{section}."))]


def is_left_open(part: str) -> bool:
    """Whether neither an experiment nor an override of the command says anything of the encoder, or decoder."""
    return HydraConfig.initialized() and not _overrides_of(part) and job_choice("experiment") is None


def like_start(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The config with the vocabulary of the run of `init_from`, and what is left open of encoder and decoder as there.

    A part is left open where neither it nor an experiment is among the overrides; else what is null in it, and details of its architecture.
    Raises SoliError for a vocabulary that the user has asked for otherwise.
    """
    if config["init_from"] is None:
        return config
    theirs = read_config(Path(config["init_from"]), key="init_from")
    asked = _overrides_of("vocabulary")
    if asked and config["vocabulary"] != theirs["vocabulary"]:
        raise SoliError(
            f"{asked[-1]} asks for other words than those of init_from={config['init_from']}, which this run keeps: leave it out."
        )
    for part in PRETRAINED_PARTS:
        _check_chosen(part, config, theirs)
    parts = {part: without_files(theirs[part]) if is_left_open(part) else _filled(config[part], theirs[part]) for part in PRETRAINED_PARTS}
    return {**config, **parts, "vocabulary": theirs["vocabulary"]}


def _check_chosen(part: str, config: Mapping[str, Any], theirs: Mapping[str, Any]) -> None:
    """Raises SoliError for an override of a key of the default encoder or decoder, where the start has another class."""
    given = _overrides_of(part)
    is_default = not any(override.startswith(f"{part}=") for override in given) and job_choice("experiment") is None
    if given and is_default and config[part]["_target_"] != theirs[part]["_target_"]:
        ours, other = (one[part]["_target_"].rpartition(".")[2] for one in (config, theirs))
        raise SoliError(
            f"{given[0]} is for the {ours}, and init_from={config['init_from']} has a {other}: choose {part}=<that of the run> too, "
            "or leave it out."
        )


def _filled(given: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    if given["_target_"] != theirs["_target_"]:
        return dict(given)
    filled = {key: theirs.get(key) if value is None and key not in STARTING_FILES else value for key, value in given.items()}
    nested = {key: {**theirs[key], **value} for key, value in given.items() if isinstance(value, Mapping) and key in theirs}
    return {**filled, **nested}


def _with_pretrained(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The config with the encoder and decoder of `model.pretrained`, if it is given."""
    source = config["model"]["pretrained"]
    if source is None:
        return config
    if config["init_from"] is not None:
        raise SoliError(f"init_from={config['init_from']} and model.pretrained={source} are two starts: leave one of them out.")
    kept = [config[part] if _has_part(config, part) else {} for part in PRETRAINED_PARTS]
    encoder, decoder = pretrained_sections(source, *kept)
    return {**config, "encoder": encoder, "decoder": decoder}


def _has_part(config: Mapping[str, Any], part: str) -> bool:
    """Whether the encoder or decoder of a config is of the class that `model.pretrained` fills."""
    return find_target(config[part]["_target_"]) is PRETRAINED_PARTS[part]


def start_tokenizer(config: Mapping[str, Any]) -> Tokens | None:
    """The words or pieces of words of the run of `init_from`, which its decoder has learnt; None without one.

    Raises SoliError when `decoder.tokenizer` is of others.
    """
    if config["init_from"] is None:
        return None
    kept, source = load_tokenizer(Path(config["init_from"])), config["decoder"].get("tokenizer")
    if source is not None and read_tokens(source).words != kept.words:
        raise SoliError(
            f"decoder.tokenizer={source} has other tokens than init_from={config['init_from']}, which this run keeps: leave it out."
        )
    return kept


def load_start(model: Captioner, config: Mapping[str, Any]) -> None:
    """Puts the weights of the run or of the pretrained captioner that `config` starts from, if any, into `model`.

    Raises SoliError when they do not fit.
    """
    if config["init_from"] is not None:
        _load_run(config["init_from"], model, config)
    if config["model"]["pretrained"] is not None:
        load_pretrained(config["model"]["pretrained"], model)


def _load_run(run: str, model: Captioner, config: Mapping[str, Any]) -> None:
    """Puts the best weights of another run into `model`; a projector or matcher that the run did not have stays as it is.

    Raises SoliError when the run's parts differ, naming the keys.
    """
    folder = Path(run)
    theirs = read_config(folder, key="init_from")
    if load_tokenizer(folder).words != model.tokenizer.words:
        raise SoliError(f"init_from={run} has other words than when this run began: put that run back, or begin this one anew.")
    try:
        for part in load_weights(folder / "best.safetensors", model, optional=("projector.", "matcher.")):
            print(f"init_from={run} has a {part[:-1]} of other sizes (embedding, joint, text_encoder): this one starts anew.")
    except SoliError as reason:
        differing = [
            f"{part}.{key}={theirs[part].get(key)} there, {config[part].get(key)} here"
            for part in ("encoder", "decoder", "embedding")
            for key in sorted(theirs[part].keys() | config[part].keys())
            if key not in STARTING_FILES and theirs[part].get(key) != config[part].get(key)
        ]
        found = f"{'; '.join(differing)}. " if differing else ""
        raise SoliError(f"init_from={run} does not fit: {found}{reason}") from reason
