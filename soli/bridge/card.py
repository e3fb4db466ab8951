"""The README.md of an exported captioner: what it is, how to use it, how it was trained, its scores. It names no local path."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from soli.printing import in_markdown
from soli.version import __version__

CARD = """---
library_name: transformers
pipeline_tag: image-to-text
tags:
- image-captioning
- low-resolution
---

# A captioner for low-resolution photographs

A {encoder} encoder and a GPT-2 decoder with cross-attention as a `VisionEncoderDecoderModel`, trained and exported with soli {version},
which is not needed to use it. Captions are in lower case and without punctuation, at most {max_tokens} tokens long.

## Use

```python
from PIL import Image
from transformers import AutoImageProcessor, AutoTokenizer, VisionEncoderDecoderModel
model, tokenizer, processor = (kind.from_pretrained(".") for kind in (VisionEncoderDecoderModel, AutoTokenizer, AutoImageProcessor))
pixels = processor(Image.open("photograph.jpg").convert("RGB"), return_tensors="pt").pixel_values
print(tokenizer.decode(model.generate(pixels)[0], skip_special_tokens=True))
```

`"."` is this folder. It was written with transformers {transformers}{reader}. `generation_config.json` holds the run's own search. The
pooler of the encoder is zero: no caption needs it.{program}

## Input

Upright RGB photographs of any size, low-resolution ones as they are. {framing}
The resize is bilinear and antialiased. transformers rounds the resized photograph to 8 bits and soli does not: photographs that have this
size already get the same captions from both, the others the same but for this rounding.

## Training

{training}

## Scores

{scores}

## Licence

soli's code is under the Apache License 2.0, which says nothing about these weights: they come under the terms of the photographs and
captions that they were trained on, and of the pretrained weights that they started from, if any.
"""

NAMES = (
    "`original` is the photograph itself; `R0.1S50` shrinks both sides to a tenth in 50 bilinear steps, `_GF500` blurs it before with a "
    "15x15 Gaussian filter (sigma 500), `_JPEG30` saves it afterwards as JPEG of quality 30."
)


def model_card(config: Mapping[str, Any], transformers_version: str, scores: tuple[str, str] | None, program: bool) -> str:
    """The card of a run with this config. `scores`: a table and the protocol that goes with it; `program`: there is an encoder.pt2 too."""
    side, family = config["encoder"]["input_size"], config["encoder"]["architecture"]["model_type"]
    crop = "The shorter side becomes 8/7 of {side} pixels, and the central {side} x {side} of it are seen."
    framing = crop if config["encoder"]["framing"] == "crop" else "All of it is seen, both sides resized to {side} pixels."
    return CARD.format(
        encoder={"vit": "ViT", "deit": "DeiT"}.get(family, "CLIP vision"),
        version=__version__,
        transformers=transformers_version,
        reader=", and version 4 cannot read it" if family == "clip_vision_model" else "",
        max_tokens=config["generation"]["max_tokens"],
        framing=framing.format(side=side),
        training=_training(config),
        scores=_scores(scores),
        program=_program(side) if program else "",
    )


def _scores(scores: tuple[str, str] | None) -> str:
    if scores is None:
        return "This run has not been evaluated on a test split."
    table, protocol = (text.replace("`", "'") for text in scores)  # which nothing in them may end
    return f"```\n{table}\n```\n\nProtocol: `{protocol}`"


def _program(side: int) -> str:
    call = '`torch.export.load("encoder.pt2").module()`'
    return f"\n\n{call} is the encoder in PyTorch alone: images (N, 3, {side}, {side}) in [0, 1] to features (N, L, D)."


def _training(config: Mapping[str, Any]) -> str:
    data = config["dataset"]["_target_"].rpartition(".")[2].removesuffix("Dataset")
    phases = [_phase(name, phase) for name, phase in config["variant"]["phases"].items()]
    return "\n".join([f"Data: {data}. Conditions: {NAMES}", "", *phases])


def _phase(name: str, phase: Mapping[str, Any]) -> str:
    """`- caption: trains encoder, decoder under 1 caption; views: clean (original)`"""
    trained = ", ".join(module for module, factor in phase["train"].items() if factor)
    losses = " + ".join(f"{weight:g} {loss}" for loss, weight in phase["losses"].items() if weight)
    views = "; ".join(f"{view} ({', '.join(conditions)})" for view, conditions in phase["views"].items())
    return f"- {in_markdown(name)}: trains {trained} under {losses}; views: {in_markdown(views)}"
