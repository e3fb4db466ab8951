"""Negatives: what a photograph, or a caption, is told apart from. Each is asked with the queries of a step."""

from soli.negatives.adversarial import Adversarial
from soli.negatives.clustered import Clustered
from soli.negatives.hardest import Hardest
from soli.negatives.in_batch import InBatch
from soli.negatives.pairs import weighted
from soli.negatives.random import RandomNegative
from soli.negatives.random_partner import RandomPartner

__all__ = ["Adversarial", "Clustered", "Hardest", "InBatch", "RandomNegative", "RandomPartner", "weighted"]
