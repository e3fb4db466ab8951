"""Pretrained files: a local folder, or a name on the Hugging Face hub, which is asked only when such a name is given.

A stranger's folder may name code, kernels, adapters or other files. Only this of it is read, and by soli itself: the numbers and words
that soli asks for in config.json and preprocessor_config.json, the tensors of safetensors files, and the tokens in tokenizer.json, or
vocab.json and merges.txt. transformers gets numbers, words and tensors, never the folder.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soli.interfaces import SoliError
from soli.json_text import read_object

if TYPE_CHECKING:
    from torch import Tensor

HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")
ACTIVATIONS = ("hidden_act", "activation_function")
LARGEST = {"size": 1 << 17, "layers": 1000}  # of one number in a config: ten times what any published model has
MOST_NEW = 4  # times as many numbers as its file may a model have: cross-attention is new, for one
MODEL_FILES = ["config.json", "*.safetensors", "preprocessor_config.json"]
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


def check_sizes(sizes: Mapping[str, Any], before: str) -> None:
    """Raises SoliError for those of a config's values that are sizes or counts, by their names, and of no model's; None is none.

    `before` stands before the name in the message.
    """
    for name, value in sizes.items():
        limit = LARGEST["layers" if "layer" in name else "size"]
        is_size = name.startswith(("n_", "num_")) or name.endswith("_size")
        if is_size and value is not None and (not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= limit):
            raise SoliError(f"{before}{name}={str(value)[:60]} must be a whole number from 1 to {limit}.")


def make_config(kind: Any, sizes: Mapping[str, Any], where: str) -> Any:
    """A config of transformers with these values: numbers, flags and names. Raises SoliError for those that no model can have."""
    check_sizes(sizes, f"{where}: ")
    for name, value in sizes.items():
        if isinstance(value, list | dict) or (name in ACTIVATIONS and value not in _activations()):
            raise SoliError(f"{where}: {name}={str(value)[:60]} is no value that a model can have.")
    try:
        return kind(**sizes)
    except Exception as reason:  # of transformers' own checks
        raise SoliError(f"{where}: {first_line(reason)}") from reason


def make_model(kind: Any, config: Any, where: str, **options: Any) -> Any:
    """A model of transformers with random weights. Raises SoliError for a config whose values do not go together."""
    try:
        return kind(config, **options)
    except Exception as reason:
        raise SoliError(f"{where}: {first_line(reason)}") from reason


def load_weights(kind: Any, config: Any, source: str, key: str, **options: Any) -> tuple[Any, dict[str, Any]]:
    """The model of transformers with the safetensors of `source`, and a report of the tensors that are missing or do not fit.

    Raises SoliError when they cannot be fetched or read; pickled weights are not read.
    """
    where = f"{key}={source}"
    return with_tensors(kind, config, read_tensors(fetch(source, key, MODEL_FILES), where), where, **options)


def with_tensors(kind: Any, config: Any, tensors: Mapping[str, Tensor], where: str, **options: Any) -> tuple[Any, dict[str, Any]]:
    """The model with these tensors, under the names of today or of earlier versions of transformers, and its report of them.

    Raises SoliError for a config that describes a far larger model than the tensors are, before any memory is taken.
    """
    import torch  # slow to import

    described = count_parameters(kind, config, where, **options)
    check_claim(described, sum(tensor.numel() for tensor in tensors.values()), where)
    report = {"output_loading_info": True, "ignore_mismatched_sizes": True, "dtype": torch.float32}
    try:
        with quietly():
            return kind.from_pretrained(None, config=config, state_dict=dict(tensors), **report, **options)
    except Exception as reason:  # of the reader of the weights, none of them the user's language
        raise SoliError(f"{where} cannot be loaded: {first_line(reason)}") from reason


def count_parameters(kind: Any, config: Any, where: str, **options: Any) -> int:
    """How many numbers the model of a config would have; it takes no memory. Raises SoliError as make_model does."""
    import torch  # slow to import

    with torch.device("meta"):
        return sum(parameter.numel() for parameter in make_model(kind, config, where, **options).parameters())


def check_claim(described: int, there: int, where: str) -> None:
    """Raises SoliError for a config that describes a far larger model than the numbers that its files hold."""
    if described > MOST_NEW * there:
        raise SoliError(f"{where} cannot be loaded: config.json describes {described} parameters, and the files hold {there}.")


def count_numbers(folder: Path, where: str) -> int:
    """How many numbers the tensors in a folder have, by the headers of its files. Raises SoliError as read_tensors does."""
    from safetensors import safe_open  # slow to import

    total = 0
    for path in _tensor_files(folder, where):
        with _damage_told(where), safe_open(path, framework="pt") as file:
            total += sum(prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118 - it is no mapping
    return total


def read_tensors(folder: Path, where: str) -> dict[str, Tensor]:
    """The tensors of model.safetensors, or of its numbered parts. Raises SoliError when they are missing or damaged."""
    return {name: tensor for file in _tensor_files(folder, where) for name, tensor in read_safetensors(file, where).items()}


def _tensor_files(folder: Path, where: str) -> list[Path]:
    whole = folder / "model.safetensors"
    files = [whole] if whole.is_file() else sorted(folder.glob("model-*-of-*.safetensors"))
    if not files:
        raise SoliError(
            f"{where} cannot be loaded: it has no model.safetensors, and pickled weights (pytorch_model.bin) are never read here. "
            "Convert them where you trust them: from_pretrained(...).save_pretrained(<folder>)."
        )
    return files


def read_safetensors(path: Path, where: str) -> dict[str, Tensor]:
    """The tensors of one file. Raises SoliError when it is damaged or no such file."""
    from safetensors.torch import load_file  # slow to import

    with _damage_told(where):
        return load_file(path)


@contextmanager
def _damage_told(where: str) -> Iterator[None]:
    try:
        yield
    except Exception as reason:  # of safetensors, torch or the disk
        raise SoliError(f"{where} cannot be loaded: {first_line(reason)}. Download or export it again.") from reason


def read_config(folder: Path, key: str, source: str, hint: str = "") -> dict[str, Any]:
    """The config.json of a model, which the user gave as `key`=`source`. Raises SoliError, with `hint`, when it is missing or damaged."""
    try:
        return read_object(folder / "config.json")
    except (OSError, ValueError) as reason:
        raise SoliError(f"{key}={source} has no readable config.json: give a folder that transformers has saved{hint}.") from reason


def _activations() -> Sequence[str]:
    from transformers.activations import ACT2FN  # slow to import

    return list(ACT2FN)


def first_line(reason: Exception) -> str:
    """What an exception of another library says, short enough for a message."""
    return (str(reason).strip().splitlines() or [type(reason).__name__])[0][:200]
