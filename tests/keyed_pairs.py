"""The pairs of photographs of which nothing but the keys is known, for negatives that look at no embeddings."""

from __future__ import annotations

import torch

from soli.interfaces import Queries
from soli.negatives import weighted


def pairs_of(negatives, keys, generators=()):
    identities = torch.tensor(keys)
    return weighted(negatives.choose(Queries("other", identities, identities, generators)))
