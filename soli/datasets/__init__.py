"""Photographs with captions: the readers, the toy data, the checks, and the batches that training iterates over."""

from soli.datasets.batches import Batch, CaptionedImages, batches, collate, epoch_order, pad, unseen_batches
from soli.datasets.fingerprint import data_differences, data_fingerprint
from soli.datasets.flickr8k import Flickr8kDataset
from soli.datasets.folder import FolderDataset
from soli.datasets.images import check_photographs, read_photograph, upright_rgb
from soli.datasets.karpathy import KarpathyDataset
from soli.datasets.leaks import find_leaks
from soli.datasets.shrunk import about_shrunk, missing_reference_side, usual_side
from soli.datasets.toy import ToyDataset

__all__ = [
    "Batch",
    "CaptionedImages",
    "Flickr8kDataset",
    "FolderDataset",
    "KarpathyDataset",
    "ToyDataset",
    "about_shrunk",
    "batches",
    "check_photographs",
    "collate",
    "data_differences",
    "data_fingerprint",
    "epoch_order",
    "find_leaks",
    "missing_reference_side",
    "pad",
    "read_photograph",
    "unseen_batches",
    "upright_rgb",
    "usual_side",
]
