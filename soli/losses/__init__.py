"""Losses: each a small module that takes what it needs and returns a scalar."""

from soli.losses.attention import AttentionLoss
from soli.losses.caption import CaptionLoss
from soli.losses.contrastive import ContrastiveLoss
from soli.losses.false_negatives import BidirectionalMarginLoss
from soli.losses.infonce import InfoNCELoss
from soli.losses.spectral import SpectralLoss
from soli.losses.triplet import TripletLoss

__all__ = ["AttentionLoss", "BidirectionalMarginLoss", "CaptionLoss", "ContrastiveLoss", "InfoNCELoss", "SpectralLoss", "TripletLoss"]
