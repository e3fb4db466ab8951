"""The folder in which hasty users work: pictures, runs of several kinds, damaged copies of them, and the files that the themes name."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

from soli.jobs.starting import completed
from soli.runs import build_captioner, build_tokenizer, write_run
from soli.train import main as train
from soli.training.checkpoint import STATE, Progress, save_checkpoint
from soli.training.damage import checksum
from tests.small_captioners import captions, plain

TINY_DATA = ("dataset.num_train=24", "dataset.num_val=8", "dataset.num_test=6", "vocabulary.min_count=1")
TINY_PARTS = (
    "encoder.feature_dim=32",
    "encoder.input_size=32",
    "decoder.hidden_dim=8",
    "decoder.attention_dim=8",
    "decoder.embedding_dim=8",
    "degradation.conditions=[original,R0.5S1]",
)
TINY_MATCHING = ("text_encoder.word_dim=4", "text_encoder.hidden_dim=4", "joint.dim=4")
TINY_VIT = (
    "encoder=vit_tiny",
    "encoder.architecture={hidden_size: 8, num_hidden_layers: 1, num_attention_heads: 2, intermediate_size: 8, patch_size: 16}",
    "encoder.weights=null",
    "encoder.input_size=32",
    "decoder=tiny_gpt2",
    "decoder.architecture={n_embd: 8, n_layer: 1, n_head: 2, n_positions: 40}",
)
Content = str | bytes | None | Callable[[Path], object]


def build(folder: Path, themes: list[ModuleType]) -> None:
    """Fills `folder`: what every theme may use, then the FILES of each theme, and the RUNS, which are copies of runs with other files."""
    os.chdir(folder)
    _draw(folder / "pictures" / "a.png")
    _draw(folder / "pictures" / "b.jpg")
    (folder / "file.txt").write_text("nothing of interest\n", encoding="utf-8")
    (folder / "empty").mkdir()
    _train(folder / "runs" / "small", *TINY_PARTS, "epochs=2", "runtime.max_steps=1", "validation.conditions=[original]")
    _make(folder / "runs" / "vit", *TINY_VIT)
    _make(folder / "runs" / "match", *TINY_PARTS, *TINY_MATCHING, "variant=vse")
    for theme in themes:
        for name, (source, changes) in getattr(theme, "RUNS", {}).items():
            shutil.copytree(folder / "runs" / source, folder / "runs" / name)
            write(folder / "runs" / name, changes)
        write(folder, getattr(theme, "FILES", {}))


def write(folder: Path, files: Mapping[str, Content]) -> None:
    """Files below `folder`: a text, bytes, None to remove one, or a function that is told the path."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            path.unlink()
        elif callable(content):
            content(path)
        else:
            path.write_bytes(content.encode() if isinstance(content, str) else content)


def picture(path: Path) -> None:
    """A picture of noise, another one for each name."""
    _draw(path)


def replaced(before: str, after: str) -> Callable[[Path], object]:
    """The text of the file that is there, with one part of it replaced."""

    def write_replaced(path: Path) -> None:
        text = path.read_text(encoding="utf-8")
        assert before in text, (path, before)
        path.write_text(text.replace(before, after, 1), encoding="utf-8")

    return write_replaced


def cut(number: int) -> Callable[[Path], object]:
    """The file that is there, its first bytes only."""
    return lambda path: path.write_bytes(path.read_bytes()[:number])


def broken_weights(path: Path) -> None:
    """The checkpoint that is there, all its numbers NaN."""
    with safe_open(path, "pt") as file:
        state, tensors = json.loads(file.metadata()[STATE]), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    broken = {name: tensor * math.nan if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
    save_file(broken, path, {STATE: json.dumps({**state, "checksum": checksum(broken)})})


def snapshot(folder: Path) -> dict[str, str]:
    """Every file below a folder with a digest of its content, and every folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        for path in folder.rglob("*")
    }


def karpathy(*images: Mapping[str, object]) -> str:
    """A caption file of Karpathy's kind."""
    return json.dumps({"images": images})


def _draw(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = int.from_bytes(hashlib.sha256(path.name.encode()).digest()[:4], "big")
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 48, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def _train(folder: Path, *overrides: str) -> None:
    """A run that soli.train has made."""
    argv, sys.argv = sys.argv, ["soli-train", *TINY_DATA, *overrides, f"run_dir={folder}"]
    try:
        train()
    finally:
        sys.argv = argv


def _make(folder: Path, *overrides: str) -> None:
    """A run as training leaves it, of random weights."""
    config = completed(plain(*TINY_DATA, *overrides))
    tokenizer = build_tokenizer(config, captions())
    torch.manual_seed(0)
    write_run(folder, config, tokenizer, {})
    save_checkpoint(folder / "best.safetensors", build_captioner(config, tokenizer), Progress(finished=True))
