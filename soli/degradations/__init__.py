"""Degradations: what becomes of a photograph that is shrunk, blurred and recompressed, and how it is framed for an encoder."""

from soli.degradations.condition import PAPER_CONDITIONS
from soli.degradations.degradation import Degradation, parse, render
from soli.degradations.framing import Frame, Framing

__all__ = ["PAPER_CONDITIONS", "Degradation", "Frame", "Framing", "parse", "render"]
