"""Scoring of captions: the metrics of the field on whole words, and the signature that says what a score was measured on."""

from soli.evaluation.caption_metrics import CaptionScorer, score_captions
from soli.evaluation.retrieval import rank_metrics
from soli.evaluation.retrieval_folds import fold_metrics
from soli.evaluation.signature import signature

__all__ = ["CaptionScorer", "fold_metrics", "rank_metrics", "score_captions", "signature"]
