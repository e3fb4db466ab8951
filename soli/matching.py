"""Matching of photographs and captions: both in one joint space, compared by their cosine (VSE++, arXiv 1707.05612, section 3.1)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from soli.interfaces import TextEncoder

POOLINGS = ("mean", "first", "first_and_mean")


class Matcher(nn.Module):
    """f(i) = W_f phi(i) of photographs and g(c) = W_g psi(c) of captions, both of length 1: their product is the cosine (Eqs 1 to 5 there).

    phi(i) are the encoder's features (N, L, D), pooled over the grid and put through a LayerNorm, as encoders differ in scale by a hundred
    times; psi is a text encoder (soli/interfaces.py).
    """

    def __init__(
        self, feature_dim: int, text_encoder: TextEncoder, dim: int = 1024, pooling: Literal["mean", "first", "first_and_mean"] = "mean"
    ):
        """`dim` is the width E of the joint space. `pooling`: the mean of all places; the first, which is a ViT's class token; or both."""
        super().__init__()
        assert pooling in POOLINGS
        self.pooling, self.dim = pooling, dim
        self.text_encoder = text_encoder
        width = feature_dim * (2 if pooling == "first_and_mean" else 1)
        self.image_projection = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, dim))
        self.text_projection = nn.Linear(text_encoder.output_dim, dim)

    def finetuned_parts(self) -> list[nn.Module]:
        """What may train at all."""
        text_parts = getattr(self.text_encoder, "finetuned_parts", lambda: [self.text_encoder])()
        return [self.image_projection, self.text_projection, *text_parts]

    def images(self, features: Tensor) -> Tensor:
        """Features (N, L, D) -> the photographs' places in the joint space (N, E)."""
        pooled = {"mean": lambda: [features.mean(1)], "first": lambda: [features[:, 0]]}
        parts = pooled[self.pooling]() if self.pooling in pooled else [features[:, 0], features.mean(1)]
        return functional.normalize(self.image_projection(torch.cat(parts, dim=-1)), dim=-1)

    def captions(self, tokens: Tensor, is_word: Tensor) -> Tensor:
        """`tokens` (..., T), and where they are no padding, `is_word` (..., T) bool -> (..., E); zeros for a row of nothing but padding."""
        present = is_word.any(-1)
        places = self.text_projection(self.text_encoder(tokens[present], is_word[present]))
        joint = functional.normalize(places, dim=-1)
        return joint.new_zeros(*present.shape, self.dim).index_put((present,), joint)
