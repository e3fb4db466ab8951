"""Losses: each a small module that takes what it needs and returns a scalar."""

from soli.losses.attention import AttentionLoss
from soli.losses.caption import CaptionLoss
from soli.losses.contrastive import ContrastiveLoss
from soli.losses.infonce import InfoNCELoss

__all__ = ["AttentionLoss", "CaptionLoss", "ContrastiveLoss", "InfoNCELoss"]
