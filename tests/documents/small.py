"""Overrides that make a documented command small, and change nothing else: few photographs, narrow layers, a few steps, no download."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tests.documents.files import VIT

EVALUATION = ["runtime.threads=1", "runtime.precision=fp32", "gallery=2"]
RUN = ["runtime.threads=1", "runtime.precision=fp32", "loader.batch_size=6", "vocabulary.min_count=1", "validation.limit=4"]
RUN += ["validation.num_beams=1", "generation.max_tokens=6"]
VIT_SIZES = ", ".join(f"{name}: {size}" for name, size in VIT.items())
GPT2 = "{n_embd: 16, n_layer: 1, n_head: 2, n_positions: 48}"
PARTS = {
    "TinyEncoder": ["encoder.feature_dim=32", "encoder.input_size=32"],
    "ResNetEncoder": ["encoder.stages=1", "encoder.finetune_from=1", "encoder.input_size=32"],
    "ViTEncoder": [f"encoder.architecture={{{VIT_SIZES}}}", "encoder.finetune_from=1", "encoder.input_size=32"],
    "AttentionLSTM": ["decoder.hidden_dim=8", "decoder.attention_dim=8"],
    "GPT2Decoder": [f"decoder.architecture={GPT2}"],
    "ToyDataset": ["dataset.num_train=12", "dataset.num_val=4", "dataset.num_test=4"],
}


def small_training(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """For soli.train with these configs of its jobs, whose parts are those of the first. A run that is resumed is small already."""
    config, epochs = configs[0], max(len(config["variant"]["phases"]) for config in configs)
    if config["resume"]:
        return []
    sections = ["dataset"] if config["model"]["pretrained"] else ["dataset", "encoder", "decoder"]  # which brings its own
    spaces = ["text_encoder.word_dim=8", *(["joint.dim=16"] if config["joint"]["dim"] > 256 else [])]
    return [*RUN, *small_parts(config, sections), *spaces, *_without_downloads(config), f"epochs={epochs}"]


def small_parts(config: Mapping[str, Any], sections: Sequence[str]) -> list[str]:
    """For what is built of these sections of the config."""
    kinds = [config[section]["_target_"].rpartition(".")[2] for section in sections]
    return [override for kind in kinds for override in PARTS.get(kind, [])]


def _without_downloads(config: Mapping[str, Any]) -> list[str]:
    """Random weights and whole words where a name on the hub is chosen."""
    hub = [("encoder", "weights"), ("decoder", "weights"), ("decoder", "tokenizer")]
    names = ("google/vit-base-patch16-224-in21k", "gpt2")
    return [f"{section}.{key}=null" for section, key in hub if config[section].get(key) in names]
