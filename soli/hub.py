"""Pretrained files: a local folder, or a name on the Hugging Face hub, which is asked only when such a name is given."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from soli.interfaces import SoliError

HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")
MODEL_FILES = ["config.json", "*.safetensors", "preprocessor_config.json", "*.safetensors.index.json"]
TOKENIZER_FILES = ["tokenizer.json", "vocab.json", "merges.txt"]


def fetch(source: str, key: str, files: Sequence[str]) -> Path:
    """The local folder (or file) `source`, or that into which the `files` (patterns) of a hub name were downloaded, once.

    `key` is what the user gave it as. Raises SoliError for a path that does not exist and for a name that cannot be fetched.
    """
    path = Path(source).expanduser()
    if path.exists():
        return path
    advice = f"Give {key} a local folder"
    if not HUB_NAME.fullmatch(source) or source.startswith("."):
        raise SoliError(f"{key}={source} does not exist, and is no name on the hub either. {advice}.")
    from huggingface_hub import snapshot_download  # slow to import

    try:
        return Path(snapshot_download(source, allow_patterns=list(files)))
    except Exception as reason:  # of the network, the hub or the disk
        raise SoliError(
            f"{key}={source} is no local folder, and could not be fetched from the hub ({first_line(reason)}). "
            f"{advice} with {', '.join(files[:3])}, downloaded where there is a network."
        ) from reason


@contextmanager
def quietly() -> Iterator[None]:
    """Within it transformers draws no progress bars and reports no tensors that are new or left over: soli says what matters itself."""
    from transformers.utils import logging  # slow to import

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def load_weights(kind: Any, source: str, key: str, **options: Any) -> tuple[Any, dict[str, Any]]:
    """`kind.from_pretrained` on the safetensors of `source`, and its report of tensors that are missing or do not fit.

    Raises SoliError when they cannot be fetched or read; pickled weights are not read.
    """
    folder = fetch(source, key, MODEL_FILES)
    try:
        with quietly():
            return kind.from_pretrained(folder, output_loading_info=True, use_safetensors=True, **options)
    except Exception as reason:  # of the reader of the weights, none of them the user's language
        raise SoliError(f"{key}={source} cannot be loaded: {first_line(reason)}") from reason


def read_config(folder: Path, key: str, source: str, hint: str = "") -> dict[str, Any]:
    """The config.json of a model, which the user gave as `key`=`source`. Raises SoliError, with `hint`, when it is missing or damaged."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        if not isinstance(config, dict):
            raise ValueError("it is no object")
    except (OSError, ValueError) as reason:
        raise SoliError(f"{key}={source} has no readable config.json: give a folder that transformers has saved{hint}.") from reason
    return config


def first_line(reason: Exception) -> str:
    """What an exception of another library says, short enough for a message."""
    return (str(reason).strip().splitlines() or [type(reason).__name__])[0][:200]
