"""Text encoders: captions to vectors."""

from soli.text_encoders.gru import GRUTextEncoder
from soli.text_encoders.transformer import TransformerTextEncoder

__all__ = ["GRUTextEncoder", "TransformerTextEncoder"]
