"""Adversarial negatives that were prepared, and steps of known candidates in known places."""

from random import Random

import torch

from soli.interfaces import Queries
from soli.negatives import Adversarial


def prepared(number, **settings):
    negatives = Adversarial(**settings)
    negatives.prepare({"other": number}, 100)
    return negatives


def step(candidates, places, keys=None, queries=None, query_keys=None, harm=None, draw=0, direction="other"):
    """The queries of a step: the candidates themselves, where nothing else is said; a candidate's key is its place."""
    keys = torch.as_tensor(places if keys is None else keys)
    queries, query_keys = (candidates, keys) if queries is None else (queries, torch.as_tensor(query_keys))
    generators = [Random(f"{draw}/{row}") for row in range(len(queries))]
    harm = harm or (lambda drawn: drawn.sum(-1))
    return Queries(direction, query_keys, keys, generators, queries, candidates, queries @ candidates.T, harm, torch.as_tensor(places))


def drawn_places(negatives, vectors, places, **others):
    """Which of the rows `vectors` were drawn in a step, from what lies outside of it."""
    outside = negatives.choose(step(vectors[places], places, **others)).outside
    same = (outside[:, :, None] == vectors).all(-1)  # (Q, R, K)
    assert same.any(-1).all()
    return same.int().argmax(-1)
