"""Encoders: photographs to a grid of features."""

from soli.encoders.resnet import ResNetEncoder
from soli.encoders.tiny import TinyEncoder
from soli.encoders.vit import ViTEncoder

__all__ = ["ResNetEncoder", "TinyEncoder", "ViTEncoder"]
