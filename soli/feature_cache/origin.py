"""What features are made of: the encoder, the preprocessing, the type of their numbers. Of one origin, they are the same."""

from __future__ import annotations

import hashlib
import json
import operator
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from soli.degradations import Framing
from soli.interfaces import Encoder
from soli.json_text import read_object

FORMAT = 1  # of the files, and of how photographs are degraded and framed: features of another one are made anew
ORIGIN = "origin.json"
LARGEST = 1 << 28  # numbers of a photograph: a gigabyte
WITHOUT_EFFECT = {"training", "finetune_from", "gradient_checkpointing", "name_or_path"}  # on features in eval mode
PREPROCESSING = {"input_size", "framing", "mean", "std"}  # named on their own
PARTS = {  # of an origin, as a person calls them
    "weights": "weights",
    "configuration": "architecture",
    "class": "architecture",
    "preprocessing": "preprocessing",
    "dtype": "the type of their numbers",
    "precision": "precision",
    "format": "the version of the cache",
}


def encoder_digest(encoder: Encoder) -> str:
    """A hash of all that an encoder's features depend on: class, configuration, weights (names, types, shapes, bytes), preprocessing.

    Whether it is in train or eval mode, on which device, and which of its parts may train makes no difference.
    """
    return _digest(_describe(encoder, Framing(encoder.input_size, encoder.framing)))


def origin_of(encoder: Encoder, framing: Framing, dtype: str, precision: str) -> dict[str, Any]:
    """What the features of `encoder` are made of, as plain values."""
    return {"format": FORMAT, **_describe(encoder, framing), "dtype": dtype, "precision": precision}


def folder_of(folder: Path, origin: Mapping[str, Any]) -> Path:
    """Where the features of this origin lie."""
    return folder / _digest(origin)[:16]


def write_origin(folder: Path, origin: Mapping[str, Any], shape: tuple[int, int]) -> None:
    """Writes the origin and the shape (L, D) of a photograph's features. Raises OSError."""
    content = {"origin": origin, "features": list(shape)}
    (folder / ORIGIN).write_text(json.dumps({**content, "crc32": _crc32(content)}, indent=2) + "\n", encoding="utf-8")


def read_origin(folder: Path) -> tuple[dict[str, Any], tuple[int, int]] | None:
    """The origin and the shape (L, D) that `write_origin` wrote; None where there is none or it is damaged."""
    try:
        content = read_object(folder / ORIGIN)
        if content.pop("crc32") != _crc32(content):
            return None
        length, width = (operator.index(number) for number in content["features"])
        return (content["origin"], (length, width)) if 0 < length * width <= LARGEST and length > 0 else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def difference(origin: Mapping[str, Any], folder: Path) -> str | None:
    """How the features in `folder` that are most like those of `origin` differ from them: `weights`, say. None where there are none."""
    found = [read_origin(other) for other in sorted(folder.iterdir()) if other.is_dir()] if folder.is_dir() else []
    differing = [[name for name in PARTS if other[0].get(name) != origin[name]] for other in found if other is not None]
    fewest = min(differing, key=len, default=None)
    return " and ".join(dict.fromkeys(PARTS[name] for name in fewest)) if fewest else None


def _describe(encoder: Encoder, framing: Framing) -> dict[str, Any]:
    statistics = {name: getattr(encoder, name).flatten().tolist() for name in ("mean", "std") if name in dict(encoder.named_buffers())}
    return {
        "class": f"{type(encoder).__module__}.{type(encoder).__qualname__}",
        "configuration": _digest(_configuration(encoder)),
        "weights": _weights(encoder),
        "preprocessing": {"input_size": framing.size, "framing": framing.mode, **statistics},
    }


def _configuration(encoder: nn.Module) -> list[list[Any]]:
    """The plain public attributes of every submodule: strides, epsilons, numbers of heads, which no state_dict has."""
    return [
        [name, type(module).__qualname__, attribute, repr(value)]
        for name, module in encoder.named_modules()
        for attribute, value in sorted(vars(module).items())
        if not attribute.startswith("_")
        and attribute not in WITHOUT_EFFECT | PREPROCESSING
        and isinstance(value, bool | int | float | str | tuple | list | None)
    ]


def _weights(encoder: nn.Module) -> str:
    """Of parameters and buffers, those that a state_dict leaves out among them."""
    digest = hashlib.sha256()
    tensors = {**dict(encoder.named_buffers()), **encoder.state_dict()}
    for name, tensor in sorted(tensors.items()):
        if name not in PREPROCESSING:
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _crc32(content: Any) -> int:
    return zlib.crc32(json.dumps(content, sort_keys=True).encode())
