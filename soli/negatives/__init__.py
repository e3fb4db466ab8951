"""Negatives: which pairs of embeddings a contrastive loss compares. Each is called with the keys of a step's photographs."""

from soli.negatives.in_batch import InBatch
from soli.negatives.random_partner import RandomPartner

__all__ = ["InBatch", "RandomPartner"]
