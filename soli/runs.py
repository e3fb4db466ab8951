"""From a config or a run folder to a captioner: the one place that turns yaml into parts, shared by the commands and by `soli.load`."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf

from soli.bridge import read_tokens
from soli.byte_pairs import BytePairs
from soli.configuration import build, compose
from soli.configuration.checks import check_values
from soli.configuration.schema import TrainConfig
from soli.configuration.targets import UnknownPart
from soli.configuration.written import read_written
from soli.disks import remedy, told, write_whole
from soli.embedding import Embedding
from soli.hub import first_line
from soli.interfaces import CaptionDataset, SoliError
from soli.matching import Matcher
from soli.model import Captioner
from soli.provenance import code_commit, machine
from soli.training.checkpoint import BEST, LAST, check_fits, load_checkpoint
from soli.training.settings import EmbeddingSettings, GenerationSettings, JointSettings, RuntimeSettings, VocabularySettings
from soli.version import __version__
from soli.vocabulary import Vocabulary

STARTING_FILES = ("weights", "glove", "tokenizer")  # what only a new model reads: a run folder has its own
ADDED = ("text_encoder", "matching", "joint", "spectral", "features")  # of older runs, which do not use them
OF_THE_COMMAND = ("dry_run",)  # what a command may be told, and no run folder holds
VOCABULARY, TOKENIZER = "vocabulary.json", "tokenizer.json"
Tokens = Vocabulary | BytePairs


def build_tokenizer(config: Mapping[str, Any], captions: Iterable[str]) -> Tokens:
    """The decoder's pretrained tokens, or the words of the training captions."""
    source = config["decoder"].get("tokenizer")
    if source is None:
        return Vocabulary.build(captions, VocabularySettings(**config["vocabulary"]).min_count)
    return read_tokens(source)


def build_captioner(config: Mapping[str, Any], tokenizer: Tokens, new: bool = True) -> Captioner:
    """The model that the config's parts describe; with `new` false it reads no pretrained weights."""
    encoder = build(_section(config, "encoder", new))
    decoder = build(_section(config, "decoder", new), feature_dim=encoder.feature_dim, vocabulary=tokenizer.words)
    projector = Embedding(encoder.feature_dim, **asdict(EmbeddingSettings(**config["embedding"])))
    generation = GenerationSettings(**config["generation"]).options
    mode, side = config["degradation"]["mode"], config["dataset"]["reference_side"]
    return Captioner(encoder, decoder, tokenizer, mode, side, projector, generation, _matcher(config, encoder.feature_dim, tokenizer, new))


def matches(config: Mapping[str, Any]) -> bool:
    """Whether a phase of the config's variant matches photographs and captions, or trains what does."""
    phases = config["variant"]["phases"].values()
    return any(phase["losses"].get("matching") or phase["train"].get("matcher") for phase in phases)


def _matcher(config: Mapping[str, Any], feature_dim: int, tokenizer: Tokens, new: bool) -> Matcher | None:
    """What the variant needs to match photographs and captions, if it does."""
    if not matches(config):
        return None
    text_encoder = build(_section(config, "text_encoder", new), vocabulary=tokenizer.words)
    return Matcher(feature_dim, text_encoder, **asdict(JointSettings(**config["joint"])))


def _section(config: Mapping[str, Any], part: str, new: bool) -> Mapping[str, Any]:
    """A part's section of the config; of a run that exists, without files."""
    return config[part] if new else without_files(config[part])


def without_files(section: Mapping[str, Any]) -> dict[str, Any]:
    """A part's section of the config without the files that only a new model reads."""
    return {key: None if key in STARTING_FILES else value for key, value in section.items()}


def build_dataset(config: Mapping[str, Any], **changes: Any) -> CaptionDataset:
    """The dataset of `config`, with those of `changes` that are not None in place of its own values."""
    return build({**config["dataset"], **{key: value for key, value in changes.items() if value is not None}})


def generation_settings(trained: Mapping[str, Any], config: Mapping[str, Any]) -> GenerationSettings:
    """How captions are generated: as in the run's config, but for what the command was told. Raises SoliError for impossible values."""
    given = {key: value for key, value in config["generation"].items() if value is not None}
    return GenerationSettings(**{**trained["generation"], **given})


def load(run: str | Path, checkpoint: str = "best", device: str = "cpu") -> Captioner:
    """The trained captioner of a run folder, in eval mode; `checkpoint` is "best" or "last".

    Raises SoliError when the folder is no run, or its files are damaged or do not belong together.
    """
    folder, path = Path(run), Path(run) / f"{checkpoint}.safetensors"
    config, tokenizer = read_config(folder), load_tokenizer(folder)
    try:
        with torch.device("meta"):  # takes no memory
            described = build_captioner(config, tokenizer, new=False)
    except Exception as reason:  # of torch or ours, for sizes that do not go together
        raise SoliError(f"{folder / 'config.yaml'} describes a model that cannot be built: {first_line(reason)}") from reason
    check_fits(path, described)
    captioner = build_captioner(config, tokenizer, new=False)
    load_checkpoint(path, captioner)
    return captioner.to(pick_device(device)).to(memory_format=torch.channels_last).eval()


def load_tokenizer(folder: Path) -> Tokens:
    """The tokens of a run: whole words (vocabulary.json) or pieces of words (tokenizer.json)."""
    pieces = folder / TOKENIZER
    return BytePairs.load(pieces) if pieces.is_file() else Vocabulary.load(folder / VOCABULARY)


def read_config(folder: Path, key: str = "run") -> dict[str, Any]:
    """The config that a run was trained with. Raises SoliError when `folder`, which the user gave as `key`, is not a run folder."""
    has_tokens = (folder / VOCABULARY).is_file() or (folder / TOKENIZER).is_file()
    if not (folder / "config.yaml").is_file() or not has_tokens:
        if (folder / "config.json").is_file():
            raise SoliError(
                f"{key}={folder} is a model in transformers' form, not a run folder: train from it with model.pretrained={folder}, "
                "or caption with transformers."
            )
        if has_tokens or (folder / "config.yaml").is_file():
            lost = "config.yaml" if has_tokens else f"{VOCABULARY} (or {TOKENIZER})"
            raise SoliError(f"{key}={folder} is not a whole run: {lost} is missing. Take it from a copy of the run, or train anew.")
        nearby = sorted(path.parent.name for path in folder.parent.glob("*/config.yaml")) if folder.parent.is_dir() else []
        beside = f"; runs beside it: {', '.join(nearby[:10])}{', ...' if len(nearby) > 10 else ''}" if nearby else ""
        raise SoliError(
            f"{key}={folder} is not a run folder (it has no config.yaml and vocabulary.json){beside}. Train one with soli.train."
        )
    path = folder / "config.yaml"
    try:
        config = read_written(path)
        names = [field.name for field in fields(TrainConfig) if field.name not in OF_THE_COMMAND]
        missing = [name for name in names if not isinstance(config, dict) or name not in config]
        if lost := [name for name in missing if name not in ADDED]:
            raise SoliError(f"there is no {', '.join(lost)}")
        if missing:
            defaults = OmegaConf.to_container(compose(), resolve=True)
            config |= {name: defaults[name] for name in missing}
        check_values(config, TrainConfig)
    except UnknownPart as reason:
        raise SoliError(f"{path}: {reason}") from reason
    except Exception as reason:  # of yaml, of OmegaConf, or ours
        advice = "Take it from a copy of the run, or train anew."
        raise SoliError(f"{path} is damaged, or of another version of soli: {first_line(reason).rstrip('.')}. {advice}") from reason
    return config


def check_new(folder: Path) -> None:
    """Raises SoliError when the folder already holds a run."""
    if (folder / "config.yaml").exists():
        raise SoliError(f"{folder} already holds a run: continue it with resume={folder}, or give another run_dir.")
    left = [name for name in (LAST, BEST, "metrics.jsonl") if (folder / name).exists()]
    if left:
        raise SoliError(
            f"{folder} holds {', '.join(left)} of a run that has lost its config.yaml: give another run_dir, or move them away."
        )


def write_run(folder: Path, config: Any, tokenizer: Tokens, data: Mapping[str, Any], device: torch.device | None = None) -> None:
    """Starts a run folder. Raises SoliError when it already holds a run, which is left untouched, or cannot be written."""
    check_new(folder)
    made_with = {**versions(), **machine(device), "code": code_commit()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / "data.json", json.dumps(data, indent=2))
        write_whole(folder / "versions.json", json.dumps(made_with, indent=2))
        tokenizer.save(folder / (TOKENIZER if isinstance(tokenizer, BytePairs) else VOCABULARY))
        write_whole(folder / "config.yaml", OmegaConf.to_yaml(OmegaConf.create(config), resolve=True))  # last: then the folder is complete
    except OSError as reason:
        raise SoliError(
            f"The run folder {folder} cannot be written: {told(reason)}. {remedy(reason)}, or give another run_dir."
        ) from reason


def versions() -> dict[str, str | None]:
    """The versions that numbers depend on; None for a package that is missing (without pycocoevalcap there is no METEOR)."""
    packages = ("torch", "torchvision", "transformers", "accelerate", "numpy", "pillow", "nltk", "pycocoevalcap")
    return {"soli": __version__, "python": platform.python_version(), **{package: _version(package) for package in packages}}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def runtime_settings(config: Mapping[str, Any]) -> RuntimeSettings:
    """The `runtime` section of a command, its number of threads in force; says on stderr when its precision or threads are slow ones here.

    Raises SoliError for impossible values.
    """
    runtime = RuntimeSettings(**config["runtime"])
    if runtime.threads is not None:
        torch.set_num_threads(runtime.threads)
    on_cpu = pick_device(runtime.device).type == "cpu"
    if on_cpu and runtime.precision == "bf16" and imitates_bf16():
        print("This processor imitates bf16, many times slower than fp32: runtime.precision=fp32 is quicker here.", file=sys.stderr)
    if on_cpu and torch.get_num_threads() > 1 and (load := load_of_others()):
        print(
            f"Other programs keep this machine busy (a load of {load:.0f} on {os.cpu_count()} cores), where several threads wait for each "
            "other at every step: runtime.threads=1 (or OMP_NUM_THREADS=1 before the command) can be many times quicker.",
            file=sys.stderr,
        )
    return runtime


def load_of_others() -> float:
    """How many programs have wanted a core in the last minute, as a command begins; 0 where cores were left, or none can tell."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    return load if load >= 1.5 * (os.cpu_count() or 1) else 0.0


def imitates_bf16() -> bool:
    """Whether this machine's processor is an x86 without AVX-512, where products in bf16 take about fifty times as long as in fp32."""
    return platform.machine() in ("x86_64", "AMD64") and torch.backends.cpu.get_cpu_capability() in ("DEFAULT", "AVX2")


def pick_device(name: str) -> torch.device:
    """`auto` is cuda where there is one. Raises SoliError for a device that does not exist here."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as reason:
        raise SoliError(f"runtime.device={name} is not a device: use cpu, cuda, cuda:1 or auto.") from reason
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise SoliError(
            f"runtime.device={name} is not there: this machine has {torch.cuda.device_count()} CUDA devices. Use runtime.device=cpu."
        )
    if device.type not in ("cpu", "cuda"):
        try:
            torch.zeros(1, device=device).item()  # meta has no numbers
        except Exception as reason:  # each kind of device has its own
            raise SoliError(f"runtime.device={name} does not work on this machine. Use runtime.device=cpu.") from reason
    return device
