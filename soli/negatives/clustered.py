"""Cluster-mined negatives (CMNS, ICPR 2024): embeddings in queues by likeness; the second most similar queue has the hard negatives."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import reduce
from operator import xor

import torch
from torch import Tensor
from torch.nn import functional

from soli.interfaces import Chosen, Queries, SoliError, check_value
from soli.negatives.in_batch import InBatch


class Clustered:
    """All others of the step, and beside them, with the weight `weight` each, the members of the query's second most similar queue and
    `virtual` points around its centroid (Eqs 3 and 4 there).

    There are `num_clusters` queues of at most `length` embeddings in each direction. A candidate opens the first empty queue, or joins the
    one whose centroid, the mean of its members, is most similar by cosine; a full queue loses its oldest member. In the most similar queue
    may be false negatives: the loss on both centroids (Eq. 5) has the weight `false_negative_weight`.
    """

    least, every_own, symmetric = 2, True, False
    notice = "the queues are empty at the start; until two of them have members, the others of the step are the only negatives"

    def __init__(
        self,
        num_clusters: int = 32,
        length: int = 32,
        weight: float = 1.0,
        virtual: int = 16,
        noise: float = 0.03,
        uniformity_steps: int = 5,
        uniformity_rate: float = 0.1,
        false_negative_weight: float = 0.1,
        margins: tuple[float, float] = (0.1, 0.1),
    ):
        """`noise` is the standard deviation of a virtual point in each of the E dimensions, on a sphere of radius 1; `uniformity_steps` are
        steps of gradient descent, of the size `uniformity_rate`, that spread them. `margins` are alpha and beta of Eq. 5.

        Raises SoliError for values out of range.
        """
        check_value("negatives.num_clusters", num_clusters, num_clusters >= 2, "at least 2: the second most similar one has the negatives")
        check_value("negatives.length", length, length >= 1, "at least 1")
        check_value("negatives.weight", weight, 0 <= weight < math.inf, "a number, 0 or more")
        check_value("negatives.virtual", virtual, virtual >= 0, "0 or more")
        check_value("negatives.noise", noise, 0 <= noise < math.inf, "a number, 0 or more")
        check_value("negatives.uniformity_steps", uniformity_steps, uniformity_steps >= 0, "0 or more")
        check_value("negatives.uniformity_rate", uniformity_rate, 0 <= uniformity_rate < math.inf, "a number, 0 or more")
        check_value("negatives.false_negative_weight", false_negative_weight, 0 <= false_negative_weight < math.inf, "a number, 0 or more")
        both = len(margins) == 2 and all(-2 <= margin <= 2 for margin in margins)
        check_value("negatives.margins", margins, both, "two numbers between -2 and 2")
        self.num_clusters, self.length, self.weight, self.virtual = num_clusters, length, weight, virtual
        self.noise, self.uniformity_steps, self.uniformity_rate = noise, uniformity_steps, uniformity_rate
        self.false_negative_weight, self.margins = false_negative_weight, tuple(margins)
        self._queues: dict[str, Queues] = {}

    @property
    def false_negatives(self) -> tuple[float, float, float]:
        """The weight of the loss on the centroids, and its two margins."""
        return self.false_negative_weight, *self.margins

    def prepare(self, num_candidates: Mapping[str, int], num_steps: int) -> None:
        """Told before training. Raises SoliError when there are more queues than candidates, of which some would stay empty."""
        for direction, number in num_candidates.items():
            if number < self.num_clusters:
                raise SoliError(
                    f"negatives.num_clusters={self.num_clusters}, but there are {number} candidates ({direction}): some queues would never "
                    "be filled. Lower it."
                )

    def choose(self, queries: Queries) -> Chosen:
        """While there are not two queues with members yet, the step's others alone. The step's candidates join the queues afterwards."""
        chosen = InBatch().choose(queries)
        if queries.direction not in self._queues:
            self._queues[queries.direction] = Queues(self.num_clusters, self.length, queries.candidates.shape[1], queries.candidates.device)
        queues = self._queues[queries.direction]
        if queues.vectors.device != queries.candidates.device:  # it comes from a checkpoint
            queues.restore(queues.state(), queries.candidates.device)
        if int((queues.counts > 0).sum()) >= 2:
            chosen = self._with_queues(chosen, queries, queues)
        queues.add(queries.candidates.detach().float(), queries.candidate_keys)
        return chosen

    def state_dict(self) -> dict[str, Tensor]:
        """What the queues hold."""
        return {f"{direction}/{name}": value for direction, queues in self._queues.items() for name, value in queues.state().items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self._queues = {}
        for direction in {name.rpartition("/")[0] for name in state}:
            parts = {name.rpartition("/")[2]: value for name, value in state.items() if name.rpartition("/")[0] == direction}
            self._queues[direction] = Queues(*parts["vectors"].shape).restore(parts)

    def _with_queues(self, chosen: Chosen, queries: Queries, queues: Queues) -> Chosen:
        centroids = queues.centroids()
        likeness = queues.likeness(queries.queries.float())  # (Q, K)
        nearest, second = likeness.topk(2, dim=1).indices.unbind(1)
        allowed = queues.filled()[second] & (queues.keys[second] != queries.keys[:, None])  # (Q, T)
        points = self._virtual_points(queues, queries)[second]  # (Q, R, E)
        weights = self.weight * torch.cat([allowed.float(), torch.ones_like(points[..., 0])], dim=1)
        outside = torch.cat([queues.vectors[second], points], dim=1)
        return Chosen(chosen.own, chosen.weights, outside, weights, clusters=(centroids[nearest], centroids[second]))

    def _virtual_points(self, queues: Queues, queries: Queries) -> Tensor:
        """(K, R, E): around the centroid of every queue, on a sphere as large as its members are long."""
        seed = reduce(xor, (generator.getrandbits(63) for generator in queries.generators))  # whatever their order
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn(self.num_clusters, self.virtual, queues.vectors.shape[-1], generator=generator)
        start = functional.normalize(queues.centroids(), dim=1)[:, None] + self.noise * noise.to(queues.vectors.device)
        points = spread(functional.normalize(start, dim=-1), self.uniformity_steps, self.uniformity_rate)
        lengths = queues.vectors.norm(dim=-1).sum(1) / queues.counts.clamp(min=1)  # (K,)
        return points * lengths[:, None, None]


class Queues:
    """K queues of at most T embeddings (E,) with the keys of their photographs, each a ring: the newest replaces the oldest."""

    def __init__(self, number: int, length: int, width: int, device: torch.device | str = "cpu"):
        self.vectors = torch.zeros(number, length, width, device=device)
        self.keys = torch.zeros(number, length, dtype=torch.long, device=device)
        self.counts = torch.zeros(number, dtype=torch.long, device=device)  # members
        self.ends = torch.zeros(number, dtype=torch.long, device=device)  # where the next one goes

    def filled(self) -> Tensor:
        """Which places have a member, (K, T) bool."""
        return torch.arange(self.vectors.shape[1], device=self.counts.device)[None, :] < self.counts[:, None]

    def centroids(self) -> Tensor:
        """The mean of each queue's members (K, E); 0 for an empty one."""
        return self.vectors.sum(1) / self.counts.clamp(min=1)[:, None]

    def likeness(self, vectors: Tensor) -> Tensor:
        """The cosine (Q, K) of each of `vectors` (Q, E) and each centroid; -inf for an empty queue."""
        cosines = functional.normalize(vectors, dim=1) @ functional.normalize(self.centroids(), dim=1).T
        return cosines.masked_fill(self.counts == 0, -torch.inf)

    def add(self, vectors: Tensor, keys: Tensor) -> None:
        """A step's embeddings (M, E): each opens the first empty queue, or joins the one most similar to it before the rest of the step."""
        empty = (self.counts == 0).nonzero().flatten()[: len(vectors)]
        self._push(empty, vectors[: len(empty)], keys[: len(empty)])
        if len(empty) < len(vectors):
            self._push(self.likeness(vectors[len(empty) :]).argmax(1), vectors[len(empty) :], keys[len(empty) :])

    def _push(self, homes: Tensor, vectors: Tensor, keys: Tensor) -> None:
        """In their order into the queues `homes` (M,)."""
        length = self.vectors.shape[1]
        joins = homes[:, None] == torch.arange(len(self.counts), device=homes.device)  # (M, K)
        order = joins.cumsum(0).gather(1, homes[:, None]).squeeze(1) - 1  # among those of its queue, from 0
        arriving = joins.sum(0)
        stays = order >= arriving[homes] - length  # the others are pushed out by later ones at once
        queues, places = homes[stays], (self.ends[homes] + order)[stays] % length
        self.vectors[queues, places], self.keys[queues, places] = vectors[stays], keys[stays]
        self.ends = (self.ends + arriving) % length
        self.counts = (self.counts + arriving).clamp(max=length)

    def state(self) -> dict[str, Tensor]:
        return {"vectors": self.vectors, "keys": self.keys, "counts": self.counts, "ends": self.ends}

    def restore(self, state: Mapping[str, Tensor], device: torch.device | str = "cpu") -> Queues:
        """Itself, with what `state` says."""
        self.vectors, self.keys = state["vectors"].to(device, copy=True), state["keys"].to(device, copy=True)
        self.counts, self.ends = state["counts"].to(device, copy=True), state["ends"].to(device, copy=True)
        return self


def spread(points: Tensor, steps: int, rate: float) -> Tensor:
    """Points (..., R, E) on the unit sphere after gradient descent on uniformity, log mean over pairs of exp(-2 d^2) (arXiv 2005.10242)."""
    if points.shape[-2] < 2:
        return points
    own = torch.eye(points.shape[-2], dtype=torch.bool, device=points.device)
    for _ in range(steps):
        # -2 d^2 = 4 cos - 4 on the sphere; the gradient of the logarithm is a softmax over pairs, each of which occurs twice
        shares = (4 * points @ points.transpose(-1, -2)).masked_fill(own, -torch.inf).flatten(-2).softmax(-1).unflatten(-1, own.shape)
        points = functional.normalize(points + rate * 8 * (shares.sum(-1, keepdim=True) * points - shares @ points), dim=-1)
    return points
