"""A small transformer over a caption's words: pre-norm blocks (arXiv 2002.04745), learned positions, the mean over the words."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from soli.interfaces import SoliError
from soli.text_encoders.settings import check_settings
from soli.text_encoders.word_vectors import word_vectors


class TransformerTextEncoder(nn.Module):
    """A caption's vector is the mean of the last block's outputs over its words, start and end included."""

    def __init__(
        self,
        vocabulary: tuple[str, ...],
        width: int = 256,
        num_layers: int = 4,
        num_heads: int = 4,
        max_tokens: int = 64,
        dropout: float = 0.1,
        word_dim: int = 256,
        glove: str | None = None,
        tune_words: bool = True,
    ):
        """`vocabulary` lists the words by id; `glove` is a text file of word vectors, whose coverage is kept in `glove_coverage`.

        Where word vectors are not `width` wide, a linear layer projects them. `max_tokens` is the longest caption, start and end included.

        Raises SoliError for a dropout outside [0, 1), sizes below 1, heads that do not divide the width and GloVe files that do not fit.
        """
        super().__init__()
        check_settings(dropout, width=width, num_layers=num_layers, num_heads=num_heads, max_tokens=max_tokens, word_dim=word_dim)
        if width % num_heads:
            raise SoliError(f"text_encoder.width={width} is no multiple of text_encoder.num_heads={num_heads}.")
        self.output_dim, self.max_tokens = width, max_tokens
        self.embedding, self.glove_coverage = word_vectors(vocabulary, word_dim, glove)
        self.bridge = nn.Identity() if word_dim == width else nn.Linear(word_dim, width)
        self.positions = nn.Embedding(max_tokens, width)
        nn.init.normal_(self.positions.weight, std=0.02)
        self.dropout = nn.Dropout(dropout)
        options = {"activation": "gelu", "batch_first": True, "norm_first": True}
        self.blocks = nn.ModuleList(  # not nn.TransformerEncoder, whose layers are copies of one and start with its weights
            nn.TransformerEncoderLayer(width, num_heads, 4 * width, dropout, **options) for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(width)
        self.tune_words = tune_words

    def finetuned_parts(self) -> list[nn.Module]:
        """All of it, but for word vectors that are to stay as they are."""
        return [part for part in self.children() if self.tune_words or part is not self.embedding]

    def forward(self, tokens: Tensor, is_word: Tensor) -> Tensor:
        """Captions (M, T), with `is_word` (M, T) false for padding -> (M, width). Raises SoliError for a caption above `max_tokens`."""
        longest = int(is_word.sum(-1).max())
        if longest > self.max_tokens:
            raise SoliError(
                f"A caption has {longest} tokens, but text_encoder.max_tokens={self.max_tokens}: raise it, or shorten captions."
            )
        is_word = is_word[:, :longest]
        words = self.embedding(tokens[:, :longest].masked_fill(~is_word, 0))  # (M, T, word_dim)
        hidden = self.bridge(words) + self.positions(torch.arange(longest, device=tokens.device))
        hidden = self.dropout(hidden)
        for block in self.blocks:
            hidden = block(hidden, src_key_padding_mask=~is_word)  # (M, T, width)
        hidden = self.norm(hidden)
        return hidden.masked_fill(~is_word.unsqueeze(-1), 0).sum(1) / is_word.sum(-1, keepdim=True)
