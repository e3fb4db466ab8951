"""Encoders: photographs to a grid of features."""

from soli.encoders.resnet import ResNetEncoder
from soli.encoders.tiny import TinyEncoder

__all__ = ["ResNetEncoder", "TinyEncoder"]
