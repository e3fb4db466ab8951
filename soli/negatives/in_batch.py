"""All pairs of a step: every clean view against every degraded one, as many positives as negatives by weight."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import torch

from soli.interfaces import Pairs


class InBatch:
    """Each photograph with its own copy, and with the copies of all others: the two kinds weigh the same, as in SOLI's random pairs."""

    least, all_pairs = 2, True

    def __call__(self, keys: Sequence[int], generators: Sequence[Random] = ()) -> Pairs:
        """Photographs of one key are the same: such a pair is no negative. A step without any negative has positives alone."""
        identities = torch.tensor(keys)
        different = (identities[:, None] != identities[None, :]).float()
        num_negatives = int(different.sum())
        same = torch.eye(len(keys)) / len(keys) / (2 if num_negatives else 1)
        return Pairs(same, different / (2 * max(num_negatives, 1)))
