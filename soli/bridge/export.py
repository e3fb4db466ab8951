"""A captioner of ViT and GPT-2 as a VisionEncoderDecoderModel that transformers loads without soli: weights, search, tokens, input."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from soli.bridge.tokens import write_tokens
from soli.decoders import GPT2Decoder
from soli.degradations import Framing
from soli.encoders import ViTEncoder
from soli.generation_options import GenerationOptions
from soli.hub import quietly
from soli.interfaces import SoliError, Tokenizer
from soli.model import Captioner


def check_exportable(captioner: Captioner) -> None:
    """Raises SoliError for parts that a VisionEncoderDecoderModel of transformers does not have."""
    encoder, decoder = captioner.encoder, captioner.decoder
    if not isinstance(encoder, ViTEncoder) or not isinstance(decoder, GPT2Decoder):
        raise SoliError(
            f"Only a ViTEncoder with a GPT2Decoder can be exported; this run has {type(encoder).__name__} and {type(decoder).__name__}, "
            "of which transformers has no model. Train one with encoder=vit_b16 decoder=gpt2, or use the run itself with soli.load."
        )
    if encoder.num_left_out:
        raise SoliError(
            "This run leaves the class token out (encoder.class_token=false), and a VisionEncoderDecoderModel of transformers cannot. "
            "Train with encoder.class_token=true to export, or use the run itself with soli.load."
        )


def write_model(captioner: Captioner, folder: Path, options: GenerationOptions) -> None:
    """Writes the model (safetensors), how it generates (`options`), its tokenizer and its image processor into `folder`.

    Raises SoliError for parts that transformers does not have.
    """
    check_exportable(captioner)
    with quietly():
        model = _model(captioner)
        model.generation_config = _generation(captioner.tokenizer, options)
        model.save_pretrained(folder)
        write_tokens(captioner.tokenizer, folder, captioner.decoder.max_positions)
        _image_processor(captioner.encoder).save_pretrained(folder)


def _model(captioner: Captioner) -> Any:
    from transformers import VisionEncoderDecoderConfig, VisionEncoderDecoderModel  # slow to import

    vit, gpt2 = captioner.encoder.vit, captioner.decoder.gpt2
    special = _special_ids(captioner.tokenizer)
    encoder_config, decoder_config = (copy.deepcopy(part.config) for part in (vit, gpt2))
    decoder_config.is_decoder, decoder_config.tie_word_embeddings = True, True
    for name in ("bos_token_id", "eos_token_id"):  # with the padding's, GPT-2 would warn of padding that is none
        setattr(decoder_config, name, special[name])
    config = VisionEncoderDecoderConfig.from_encoder_decoder_configs(encoder_config, decoder_config, **special)
    model = VisionEncoderDecoderModel(config).eval()
    _take(model.encoder, vit.state_dict())
    _take(model.decoder.transformer, merged_state(gpt2))
    if isinstance(captioner.decoder.bridge, nn.Linear):
        _take(model.enc_to_dec_proj, captioner.decoder.bridge.state_dict())
    return model


@torch.no_grad()
def _take(module: nn.Module, state: dict[str, Tensor]) -> None:
    """Puts `state` into a module of transformers. A pooler, which every ViT has there and no caption needs, becomes zero."""
    poolers = {name: torch.zeros_like(value) for name, value in module.state_dict().items() if name.startswith("pooler.")}
    module.load_state_dict({**poolers, **state})


def merged_state(gpt2: nn.Module) -> dict[str, Tensor]:
    """GPT-2's weights under transformers' names, LoRA adapters added to what they adapt (arXiv 2106.09685, section 4.1)."""
    state = {name.replace(".base_layer.", "."): value for name, value in gpt2.state_dict().items() if ".lora_" not in name}
    for name, module in gpt2.named_modules():
        if hasattr(module, "get_delta_weight"):
            state[f"{name}.weight"] = module.base_layer.weight.detach() + module.get_delta_weight("default").detach()
    return state


def _generation(tokenizer: Tokenizer, options: GenerationOptions) -> Any:
    """soli's options in transformers' words.

    soli normalises probabilities after suppressed tokens are out and before the other rules; transformers after all rules or not at all, so
    that whole words with min_tokens or no_repeat_ngram are searched under scores that differ by what the suppressed tokens had.
    """
    from transformers import GenerationConfig

    settings: dict[str, Any] = {**_special_ids(tokenizer), "max_new_tokens": options.max_tokens}
    if options.num_beams > 1:
        settings |= {"num_beams": options.num_beams, "length_penalty": options.length_penalty, "early_stopping": False}
    if options.sample:
        settings |= {"do_sample": True, "temperature": options.temperature, "top_k": options.top_k or 0, "top_p": options.top_p}
    if options.min_tokens:
        settings["min_new_tokens"] = options.min_tokens
    if options.no_repeat_ngram is not None:
        settings["no_repeat_ngram_size"] = options.no_repeat_ngram
    if tokenizer.suppressed_ids:
        settings["suppress_tokens"] = list(tokenizer.suppressed_ids)
        settings["renormalize_logits"] = not options.min_tokens and options.no_repeat_ngram is None
    return GenerationConfig(**settings)


def _special_ids(tokenizer: Tokenizer) -> dict[str, int]:
    padding = tokenizer.pad_id if tokenizer.pad_id >= 0 else tokenizer.end_id
    start, end = tokenizer.start_id, tokenizer.end_id
    return {"decoder_start_token_id": start, "bos_token_id": start, "eos_token_id": end, "pad_token_id": padding}


def _image_processor(encoder: ViTEncoder) -> Any:
    """soli's framing in transformers' words: antialiased bilinear, but rounded to 8 bits after the resize."""
    from transformers import CLIPImageProcessor, ViTImageProcessor

    side = encoder.input_size
    statistics = {"image_mean": encoder.mean.flatten().tolist(), "image_std": encoder.std.flatten().tolist()}
    settings = {**statistics, "resample": 2, "do_convert_rgb": True}  # 2: bilinear
    if encoder.framing == "squash":
        return ViTImageProcessor(**settings, size={"height": side, "width": side})
    shorter = Framing(side, "crop").frame(side, side).height
    return CLIPImageProcessor(**settings, size={"shortest_edge": shorter}, do_center_crop=True, crop_size={"height": side, "width": side})
