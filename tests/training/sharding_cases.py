"""Small trainings of a transformer and of convolutions; under torchrun `python -m tests.training.sharding_cases <folder>` divides them.

One start for all cases; each is stopped within its first epoch and resumed too.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import torch

from soli.decoders import AttentionLSTM
from soli.embedding import Embedding
from soli.encoders import TinyEncoder, ViTEncoder
from soli.model import Captioner
from soli.training.loop import train
from soli.training.settings import FeatureSettings, LoaderSettings, OptimizerSettings, RuntimeSettings
from tests.training.small_runs import make_recipe, siamese, toy_data, variant_phases

SIZES = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 40, "patch_size": 16}
SMOOTH = OptimizerSettings(lr=1e-3, weight_decay=0.01, warmup_steps=2)
CASES = {
    "captions": {"variant": "baseline"},
    "in parts": {"variant": "par", "loader": LoaderSettings(batch_size=8, accumulation=2)},
    "moving average": {"variant": "half", "anchor": "ema"},
    "convolutions": {"variant": "aug", "convolutions": True},
    "an encoder phase, then a decoder phase": {"variant": "con", "anchor": "frozen"},
}
STOPPED_AFTER = 2  # of three steps an epoch


def make_captioner(vocabulary, convolutions):
    """A ViT of which one layer and its head are frozen, with an odd number of rows to divide, or convolutions, and a decoder."""
    torch.manual_seed(0)
    transformer = ViTEncoder({"model_type": "vit", **SIZES}, input_size=48, finetune_from=2)
    encoder = TinyEncoder(feature_dim=32, input_size=48) if convolutions else transformer
    decoder = AttentionLSTM(encoder.feature_dim, vocabulary.words, 16, 32, 16, dropout=0.0)
    projector = Embedding(encoder.feature_dim, projector="linear", dim=7)
    return Captioner(encoder, decoder, vocabulary, projector=projector).to(memory_format=torch.channels_last)


def train_case(case, folder, data, resume=False, **runtime):
    """Trains a case into `folder`, and scores the validation by what the encoder makes of a photograph; returns its captioner."""
    changes = dict(CASES[case])
    model = make_captioner(data.tokenizer, changes.pop("convolutions", False))
    phases = variant_phases(changes.pop("variant"), epochs=2)
    phases = {
        name: replace(phase, losses={**phase.losses, "contrastive": min(phase.losses.get("contrastive", 0), 1)})
        for name, phase in phases.items()
    }
    cache = str(folder.parent / "cache") if changes.get("anchor") == "frozen" else None
    settings = {"optimizer": SMOOTH, "runtime": RuntimeSettings(**runtime), "features": FeatureSettings(cache, "float32"), **changes}
    folder.mkdir(exist_ok=True)
    photograph = data.dataset.read_image(data.examples[0])
    recipe = make_recipe(phases, **settings)
    train(model, data, recipe, folder, lambda _: {"CIDEr": model.embed([photograph]).square().mean().item()}, resume, siamese())
    return model


if __name__ == "__main__":
    for number, name in enumerate(CASES):
        place = Path(sys.argv[1]) / str(number)
        place.mkdir(exist_ok=True)
        train_case(name, place / "whole", toy_data(), shard=True)
        train_case(name, place / "stopped", toy_data(), shard=True, max_steps=STOPPED_AFTER)
        train_case(name, place / "left", toy_data(), shard=True, max_steps=STOPPED_AFTER)
        train_case(name, place / "stopped", toy_data(), resume=True, shard=True)
