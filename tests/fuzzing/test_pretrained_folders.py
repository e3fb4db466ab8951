"""The config.json and preprocessor_config.json of pretrained models, damaged."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save

from soli.bridge import pretrained_sections
from soli.decoders.gpt2 import text_config
from soli.encoders.vit import image_size, vision_config
from tests.fuzzing.strategies import damaged_json, folder_with, fuzz, only_sentences

VIT = {"model_type": "vit", "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8, "patch_size": 4}
VIT |= {"image_size": 8, "hidden_act": "gelu", "layer_norm_eps": 1e-6, "qkv_bias": True, "hidden_dropout_prob": 0.0}
CLIP = {"model_type": "clip", "vision_config": {**VIT, "model_type": "clip_vision_model"}}
GPT2 = {
    "model_type": "gpt2",
    "n_embd": 8,
    "n_layer": 1,
    "n_head": 2,
    "n_positions": 9,
    "activation_function": "gelu_new",
    "vocab_size": 300,
}
WHOLE = {"model_type": "vision-encoder-decoder", "encoder": VIT, "decoder": GPT2}
WEIGHTS = save({"any": torch.zeros(4000)})  # the whole model has some 4,600 numbers
SEEN = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "do_center_crop": True}


@given(content=damaged_json(VIT) | damaged_json(CLIP))
@fuzz(120)
def test_configs_of_encoders(content: bytes) -> None:
    with folder_with({"config.json": content}) as folder, only_sentences():
        architecture = vision_config(folder, str(folder))
        assert architecture["hidden_size"] > 0 and architecture["num_hidden_layers"] <= 1000
        assert isinstance(image_size(architecture, str(folder)), int)


@given(content=damaged_json(GPT2))
@fuzz(80)
def test_configs_of_decoders(content: bytes) -> None:
    with folder_with({"config.json": content}) as folder, only_sentences():
        assert text_config(str(folder))["n_layer"] <= 1000


@given(content=damaged_json(WHOLE), seen=st.none() | damaged_json(SEEN))
@fuzz(100)
def test_configs_of_whole_captioners(content: bytes, seen: bytes | None) -> None:
    files = {"config.json": content, "tokenizer.json": b"{}", "model.safetensors": WEIGHTS} | (
        {} if seen is None else {"preprocessor_config.json": seen}
    )
    with folder_with(files) as folder, only_sentences():
        encoder, decoder = pretrained_sections(str(folder), {}, {})
        assert encoder["_target_"] == "soli.encoders.ViTEncoder" and decoder["_target_"] == "soli.decoders.GPT2Decoder"
