"""Decoders: features to words."""

from soli.decoders.attention_lstm import AttentionLSTM
from soli.decoders.glove import load_glove

__all__ = ["AttentionLSTM", "load_glove"]
