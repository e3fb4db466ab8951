"""A small convolutional encoder for toy data and tests; it trains from scratch in a minute on a CPU."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

from torch import Tensor, nn

from soli.interfaces import check_value


def _block(in_channels: int, out_channels: int) -> nn.Sequential:
    """Halves each side. GroupNorm, so that an image's features do not depend on the batch."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size=3, stride=2, padding=1, bias=False),
        nn.GroupNorm(8, out_channels),
        nn.ReLU(inplace=True),
    )


class TinyEncoder(nn.Module):
    """Four stride-2 convolutions: (N, 3, H, W) in [0, 1] -> (N, H/16 * W/16, feature_dim)."""

    def __init__(self, feature_dim: int = 128, input_size: int = 96, framing: Literal["crop", "squash"] = "squash"):
        """Raises SoliError for widths that do not divide into the groups of its norms, and for no input."""
        super().__init__()
        check_value("encoder.feature_dim", feature_dim, feature_dim > 0 and feature_dim % 32 == 0, "a multiple of 32")
        check_value("encoder.input_size", input_size, input_size >= 1, "at least 1")
        self.feature_dim, self.input_size, self.framing = feature_dim, input_size, framing
        widths = (3, feature_dim // 4, feature_dim // 2, feature_dim, feature_dim)
        self.blocks = nn.Sequential(*(_block(before, after) for before, after in pairwise(widths)))

    def forward(self, images: Tensor) -> Tensor:
        grid = self.blocks(images * 2 - 1)  # (N, D, h, w)
        return grid.flatten(2).transpose(1, 2)  # (N, L, D)

    def finetuned_parts(self) -> list[nn.Module]:
        return [self]
