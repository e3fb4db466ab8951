"""Conditions of low resolution (SOLI, arXiv 2512.08873): their names, their matrices, and how a view becomes an encoder's input."""

from soli.degradations.condition import PAPER_CONDITIONS, Blur, Jpeg, Resize
from soli.degradations.degradation import Degradation, parse
from soli.degradations.framing import Frame, Framing, render

__all__ = ["PAPER_CONDITIONS", "Blur", "Degradation", "Frame", "Framing", "Jpeg", "Resize", "parse", "render"]
