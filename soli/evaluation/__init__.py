"""Scoring of captions: the metrics of the field on whole words, and the signature that says what a score was measured on."""

from soli.evaluation.caption_metrics import CaptionScorer, score_captions
from soli.evaluation.signature import signature

__all__ = ["CaptionScorer", "score_captions", "signature"]
