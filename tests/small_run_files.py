"""The files of a very small run that has learnt nothing, and pickles that would leave a mark when they are unpickled."""

from __future__ import annotations

import io
import pickle
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from omegaconf import OmegaConf

from soli.configuration import compose
from soli.runs import build_captioner, build_tokenizer
from soli.training.checkpoint import Progress, save_checkpoint

SMALL = ("encoder.feature_dim=32", "encoder.input_size=32", "decoder.hidden_dim=8", "decoder.attention_dim=8", "decoder.embedding_dim=8")
SMALL = (*SMALL, "vocabulary.min_count=1", "dataset.num_train=8", "dataset.num_val=4", "dataset.num_test=2")


@cache
def small_run() -> dict[str, bytes]:
    """By name, the files that soli.load reads."""
    config = OmegaConf.to_container(compose(SMALL), resolve=True)
    tokenizer = build_tokenizer(config, ["a dog runs"])
    with TemporaryDirectory() as name:
        folder = Path(name)
        torch.manual_seed(0)
        save_checkpoint(folder / "best.safetensors", build_captioner(config, tokenizer), Progress())
        tokenizer.save(folder / "vocabulary.json")
        OmegaConf.save(OmegaConf.create(config), folder / "config.yaml")
        return {path.name: path.read_bytes() for path in folder.iterdir()}


def write_run(folder: Path, **files: bytes) -> Path:
    """The small run in a folder, files of it replaced: `config=...` is config.yaml. Returns the folder."""
    names = {Path(name).stem: name for name in small_run()}
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in {**small_run(), **{names.get(stem, stem): content for stem, content in files.items()}}.items():
        (folder / name).write_bytes(content)
    return folder


class Mark:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def pickles(mark: Path) -> dict[str, bytes]:
    """Files that make `mark` when somebody unpickles them: plain, as torch saves them in both its forms, as numpy does."""
    found = {"plain": pickle.dumps({"weights": Mark(mark)})}
    for name, is_zip in (("torch", True), ("old torch", False)):
        buffer = io.BytesIO()
        torch.save({"conv1.weight": Mark(mark)}, buffer, _use_new_zipfile_serialization=is_zip)
        found[name] = buffer.getvalue()
    objects = np.array([Mark(mark)], dtype=object)
    for name, save in (("npy", np.save), ("npz", np.savez)):
        buffer = io.BytesIO()
        save(buffer, objects, allow_pickle=True) if name == "npy" else save(buffer, weights=objects)
        found[name] = buffer.getvalue()
    return found
