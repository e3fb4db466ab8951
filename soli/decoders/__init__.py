"""Decoders: features to words."""

from soli.decoders.attention_lstm import AttentionLSTM
from soli.decoders.gpt2 import GPT2Decoder

__all__ = ["AttentionLSTM", "GPT2Decoder"]
