"""The bridge to transformers: captioners of ViT and GPT-2 as VisionEncoderDecoderModels, and such models as a captioner's start."""

from soli.bridge.card import model_card
from soli.bridge.export import check_exportable, write_model
from soli.bridge.pretrained import load_pretrained, pretrained_sections
from soli.bridge.program import write_program
from soli.bridge.tokens import read_tokens

__all__ = [
    "check_exportable",
    "load_pretrained",
    "model_card",
    "pretrained_sections",
    "read_tokens",
    "write_model",
    "write_program",
]
