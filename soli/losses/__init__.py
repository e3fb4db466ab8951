"""Losses: each a small module that takes what it needs and returns a scalar."""

from soli.losses.attention import AttentionLoss
from soli.losses.caption import CaptionLoss

__all__ = ["AttentionLoss", "CaptionLoss"]
