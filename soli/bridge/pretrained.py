"""A VisionEncoderDecoderModel of ViT and GPT-2 as the start of a captioner: its sections of the config, and its weights."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from soli.byte_pairs import holds_tokenizer
from soli.decoders import GPT2Decoder, gpt2
from soli.encoders import ViTEncoder, vit
from soli.hub import MODEL_FILES, TOKENIZER_FILES, check_claim, count_numbers, fetch, read_config, read_tensors, with_tensors
from soli.interfaces import SoliError
from soli.model import Captioner
from soli.printing import short

KEY = "model.pretrained"


def pretrained_sections(source: str, encoder: Mapping[str, Any], decoder: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The `encoder` and `decoder` of a config that describe the model in the folder, or of the hub name, `source`.

    Those given, of a ViTEncoder and a GPT2Decoder or empty, keep what a user chooses: the input's size and framing, what trains, dropout,
    the tokenizer. Architecture, tokens and statistics of the input are the model's. Raises SoliError for other kinds of models, for
    settings that contradict it, and for an architecture of far more numbers than its files hold: nothing is built by it then.
    """
    for part, given in (("encoder", encoder), ("decoder", decoder)):
        if given.get("weights") is not None:
            raise SoliError(
                f"{KEY}={source} and {part}.weights={given['weights']} are two sources of the same weights: add {part}.weights=null."
            )
    if not encoder.get("class_token", True):
        raise SoliError(f"{KEY}={source} needs encoder.class_token=true: its decoder looks at the class token too.")
    folder, config = _config(source)
    image_size = vit.image_size(config["encoder"], f"The encoder of {KEY}={source}")
    seen = vit.preprocessing(folder)
    tokenizer = decoder.get("tokenizer") or source
    if tokenizer == source:
        _check_tokenizer(folder, source)
    sees = vit.architecture_of(config["encoder"], f"The encoder of {KEY}={source}")
    writes = gpt2.architecture_of(config["decoder"], f"The decoder of {KEY}={source}")
    where = f"{KEY}={source}"
    described = vit.num_parameters(sees, image_size, where) + gpt2.num_parameters(writes, _vocab_size(config), where)
    check_claim(described, count_numbers(folder, where), where)
    return (
        {
            "_target_": "soli.encoders.ViTEncoder",
            **_defaults(ViTEncoder),
            **{**seen, "input_size": image_size},
            **{key: value for key, value in encoder.items() if value is not None or key not in seen},
            "architecture": sees,
        },
        {
            "_target_": "soli.decoders.GPT2Decoder",
            **_defaults(GPT2Decoder),
            **decoder,
            "architecture": writes,
            "tokenizer": tokenizer,
        },
    )


def load_pretrained(source: str, captioner: Captioner) -> None:
    """Puts the weights at `source` into a captioner built with `pretrained_sections`; position embeddings are interpolated to its input.

    Raises SoliError when tensors are missing or of other shapes, and when its tokenizer is not the one of these weights.
    """
    folder, config = _config(source)
    _check_tokens(config, captioner, source)
    state = read_tensors(folder, f"{KEY}={source}")
    encoder, decoder = captioner.encoder, captioner.decoder
    sizes = {"image_size": vit.image_size(config["encoder"], f"The encoder of {KEY}={source}")}
    pooler = {"add_pooling_layer": False} if hasattr(encoder.vit, "pooler") else {}
    vit.resized(_loaded(encoder.vit, _part(state, "encoder."), source, sizes, **pooler), encoder.vit, encoder.input_size)
    words = _loaded(decoder.gpt2, _part(state, "decoder.transformer."), source, {}).state_dict()
    adapted = {name.replace(".base_layer.", "."): name for name in decoder.gpt2.state_dict()}  # where LoRA adapters are to be trained
    decoder.gpt2.load_state_dict({adapted[name]: value for name, value in words.items()}, strict=False)
    if isinstance(decoder.bridge, nn.Linear):
        try:
            decoder.bridge.load_state_dict(_part(state, "enc_to_dec_proj."))
        except RuntimeError as reason:
            raise SoliError(
                f"{KEY}={source} lacks a fitting enc_to_dec_proj, the projection of its features to the decoder's width."
            ) from reason


def _config(source: str) -> tuple[Path, dict[str, Any]]:
    """The folder of a model, and its config.json. Raises SoliError when it is none of an encoder and a decoder."""
    folder = fetch(source, KEY, [*MODEL_FILES, *TOKENIZER_FILES])
    config = read_config(folder, KEY, source, hint=" or soli.export has written (a run of soli is continued with init_from=<run>)")
    kind = config.get("model_type")
    if kind != "vision-encoder-decoder" or not all(isinstance(config.get(part), dict) for part in ("encoder", "decoder")):
        raise SoliError(
            f"{KEY}={source} is a {short(kind)}, and a vision-encoder-decoder is needed, whole with a decoder. "
            "Weights of a ViT alone are for encoder.weights, those of a GPT-2 for decoder.weights."
        )
    return folder, config


def _vocab_size(config: Mapping[str, Any]) -> Any:
    return config["decoder"].get("vocab_size", 50257)


def _check_tokenizer(folder: Path, source: str) -> None:
    if not holds_tokenizer(folder):
        raise SoliError(
            f"{KEY}={source} has no tokenizer (tokenizer.json, or vocab.json and merges.txt): give decoder.tokenizer the folder of the one "
            "that it was trained with."
        )


def _defaults(part: type) -> dict[str, Any]:
    """The arguments that have a default."""
    found = inspect.signature(part).parameters.values()
    return {one.name: one.default for one in found if one.default is not one.empty}


def _check_tokens(config: Mapping[str, Any], captioner: Captioner, source: str) -> None:
    """Raises SoliError for a tokenizer of another length, or that starts captions with another token."""
    remedy = "Give decoder.tokenizer the folder of the one that it was trained with."
    known, given = _vocab_size(config), len(captioner.tokenizer)
    if known != given:
        raise SoliError(f"{KEY}={source} has a decoder of {known} tokens and a tokenizer of {given}. {remedy}")
    start = config.get("decoder_start_token_id")
    if start not in (None, captioner.tokenizer.start_id):
        raise SoliError(f"{KEY}={source} starts captions with token {start}, its tokenizer with {captioner.tokenizer.start_id}. {remedy}")


def _part(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}


def _loaded(like: nn.Module, state: dict[str, Tensor], source: str, sizes: Mapping[str, int], **options: Any) -> nn.Module:
    """A model like `like` but for `sizes` with the tensors of `state`; transformers knows the names that they had in earlier versions."""
    config = copy.deepcopy(like.config)
    for name, value in sizes.items():
        setattr(config, name, value)
    model, report = with_tensors(type(like), config, state, f"{KEY}={source}", **options)
    lacking = sorted({*report["missing_keys"], *(entry[0] for entry in report["mismatched_keys"])})
    if lacking:
        raise SoliError(
            f"{KEY}={source} lacks {len(lacking)} tensors of its {type(like).__name__}, or has them in other shapes ({lacking[0]}, ...): "
            "its files do not belong together. Download or export it again."
        )
    return model
