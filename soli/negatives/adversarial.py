"""Adversarial contrastive estimation (Bose et al., arXiv 1805.03642; on VSE++ by Ling and Bose): a generator learns which negatives hurt.

For each query the generator is a categorical distribution over all candidates of the training data but those of the query's own photograph,
softmax(f' A g / temperature) of the query's embedding f and the candidates' embeddings g. It is trained by REINFORCE to draw candidates
that cause a high loss (Eq. 13, the maximum over the generator), and what it draws joins the hardest negatives of the step (Eq. 14).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from soli.interfaces import Chosen, Queries, SoliError, check_value
from soli.negatives.hardest import Hardest
from soli.negatives.in_batch import InBatch

IN_STEP = ("hardest", "all", "none")
BASELINES = ("none", "moving_average", "self_critical")
LARGEST = 2**30  # numbers in a memory of candidates: 4 GiB


class Adversarial:
    """The hardest negatives of the step, and `samples` drawn from the mixture noise * uniform + (1 - noise) * generator (Eq. 12).

    Candidates are remembered as they were embedded when the training last saw them, at most `capacity` of them in a direction; those that
    it has not seen yet cannot be drawn.
    """

    least, every_own, symmetric = 2, True, False
    notice = "the generator draws from what training has seen, in the first epoch from fewer candidates than later"

    def __init__(
        self,
        samples: int = 1,
        noise: float = 0.0,
        baseline: Literal["none", "moving_average", "self_critical"] = "moving_average",
        entropy: float = 0.0,
        temperature: float = 0.1,
        in_step: Literal["hardest", "all", "none"] = "hardest",
        warmup_steps: int = 0,
        weight: float = 1.0,
        capacity: int = 32768,
        lr: float = 0.001,
        schedule: Literal["constant", "cosine"] = "constant",
        every_steps: int = 1,
    ):
        """`entropy` is the weight of the distribution's entropy in the generator's objective, which keeps it from collapsing.
        `warmup_steps` are those of Hardest, in which the generator learns, but what it draws does not count yet. The drawn negatives of a
        query together count `weight` beside those of the step. The generator has an Adam optimizer of its own, with the rate `lr` and half
        a cosine down to 0 or no schedule, and learns every `every_steps` steps.

        Raises SoliError for values out of range.
        """
        check_value("negatives.samples", samples, samples >= 1, "at least 1")
        check_value("negatives.noise", noise, 0 <= noise <= 1, "between 0 and 1")
        check_value("negatives.baseline", baseline, baseline in BASELINES, " or ".join(BASELINES))
        check_value("negatives.in_step", in_step, in_step in IN_STEP, " or ".join(IN_STEP))
        check_value("negatives.warmup_steps", warmup_steps, warmup_steps >= 0, "0 or more")
        check_value("negatives.schedule", schedule, schedule in ("constant", "cosine"), "constant or cosine")
        check_value("negatives.entropy", entropy, 0 <= entropy < math.inf, "a number, 0 or more")
        check_value("negatives.temperature", temperature, 0 < temperature < math.inf, "above 0, for example 0.1")
        check_value("negatives.weight", weight, 0 < weight < math.inf, "above 0")
        check_value("negatives.capacity", capacity, capacity >= 2, "at least 2 candidates")
        check_value("negatives.lr", lr, 0 <= lr < math.inf, "a number, 0 or more")
        check_value("negatives.every_steps", every_steps, every_steps >= 1, "at least 1")
        self.samples, self.noise, self.baseline, self.entropy = samples, noise, baseline, entropy
        self.temperature, self.weight, self.capacity = temperature, weight, capacity
        self.in_step, self.warmup_steps = in_step, warmup_steps
        self.lr, self.schedule, self.every_steps = lr, schedule, every_steps
        self._num_candidates: dict[str, int] = {}
        self._num_steps = 1
        self._sides: dict[str, _Side] = {}

    def prepare(self, num_candidates: Mapping[str, int], num_steps: int) -> None:
        """Told before training. Raises SoliError when there are fewer candidates than samples."""
        for direction, number in num_candidates.items():
            if min(number, self.capacity) - 1 < self.samples:
                raise SoliError(
                    f"negatives.samples={self.samples}, but there are {min(number, self.capacity)} candidates, the query's own among them "
                    f"({direction}): lower negatives.samples, or raise negatives.capacity={self.capacity} or the training data."
                )
        self._num_candidates, self._num_steps = dict(num_candidates), num_steps

    def choose(self, queries: Queries) -> Chosen:
        """The step's own negatives, and the drawn ones outside. While too few candidates have been seen, the step's own alone."""
        side = self._side(queries)
        side.remember(queries)
        warming_up = side.steps <= self.warmup_steps
        chosen = self._in_step(queries, warming_up)
        allowed = side.seen & (side.keys[None, :] != queries.keys[:, None])  # (Q, K): the query's own photograph is masked
        if int(allowed.sum(1).min()) < self.samples:
            return chosen
        log_shares = side.log_shares(queries.queries, allowed, self.temperature)
        drawn, by_generator = draw(log_shares.detach().exp(), allowed, self.samples, self.noise, queries.generators)
        outside = side.vectors[drawn]  # (Q, R, E)
        side.learn(self, queries, log_shares, drawn, by_generator)
        if warming_up:
            return chosen
        share = torch.full(drawn.shape, self.weight / self.samples, device=drawn.device)
        return Chosen(chosen.own, chosen.weights, outside, share, side.places[drawn])

    def rate(self, step: int) -> float:
        """The generator's learning rate at its update number `step`, from 0."""
        if self.schedule == "constant":
            return self.lr
        return self.lr * 0.5 * (1 + math.cos(math.pi * min(1.0, step * self.every_steps / self._num_steps)))

    def state_dict(self) -> dict[str, Tensor]:
        """What the memories hold and what the generators have learnt."""
        return {f"{direction}/{name}": value for direction, side in self._sides.items() for name, value in side.state().items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self._sides = {}
        for direction in {name.rpartition("/")[0] for name in state}:
            parts = {name.rpartition("/")[2]: value for name, value in state.items() if name.rpartition("/")[0] == direction}
            self._sides[direction] = _Side(*parts["vectors"].shape, parts["vectors"].device).restore(parts)

    def _in_step(self, queries: Queries, warming_up: bool) -> Chosen:
        if warming_up or self.in_step == "all":
            return InBatch().choose(queries)
        if self.in_step == "hardest":
            return Hardest().choose(queries)
        return Chosen(torch.ones_like(queries.similarity[:, 0]), torch.zeros_like(queries.similarity))

    def _side(self, queries: Queries) -> _Side:
        if queries.direction not in self._sides:
            size, width = min(self.capacity, self._num_candidates[queries.direction]), queries.candidates.shape[1]
            if size * width > LARGEST:
                raise SoliError(
                    f"negatives=adversarial would remember {size} embeddings of {width} numbers: set embedding.pooling=mean, "
                    f"or lower negatives.capacity to {LARGEST // width}."
                )
            self._sides[queries.direction] = _Side(size, width, queries.candidates.device)
        side = self._sides[queries.direction]
        if side.vectors.device != queries.candidates.device:  # it comes from a checkpoint
            side = self._sides[queries.direction] = _Side(*side.vectors.shape, queries.candidates.device).restore(side.state())
        return side


class _Side:
    """Of one direction: the remembered candidates (K, E), the generator's matrix A, its optimizer and baseline."""

    def __init__(self, size: int, width: int, device: torch.device):
        self.vectors = torch.zeros(size, width, device=device)
        self.units = torch.zeros_like(self.vectors)  # the same with length 1
        self.keys, self.places = (torch.zeros(size, dtype=torch.long, device=device) for _ in range(2))
        self.seen = torch.zeros(size, dtype=torch.bool, device=device)
        self.form = torch.eye(width, device=device, requires_grad=True)  # at the start: likely where the embedding itself sees likeness
        self.optimizer = torch.optim.Adam([self.form])
        self.steps, self.calls, self.updates = 0, 0, 0
        self.mean_reward: Tensor | None = None

    def remember(self, queries: Queries) -> None:
        """Puts the step's candidates into their slots; where there are fewer of these than candidates, the newer replaces the older."""
        self.steps += 1
        slots = queries.places % len(self.vectors)
        newest = ~(slots[:, None] == slots).triu(1).any(1)  # an assignment to one slot twice would leave either
        slots = slots[newest]
        self.vectors[slots] = queries.candidates.detach().float()[newest]
        self.units[slots] = functional.normalize(self.vectors[slots], dim=1)
        self.keys[slots], self.places[slots], self.seen[slots] = queries.candidate_keys[newest], queries.places[newest], True

    def log_shares(self, queries: Tensor, allowed: Tensor, temperature: float) -> Tensor:
        """The logarithm of the generator's distribution (Q, K) for queries (Q, E); -inf where a candidate is not allowed."""
        likeness = (functional.normalize(queries.detach().float(), dim=1) @ self.form) @ self.units.T
        return (likeness / temperature).masked_fill(~allowed, -torch.inf).log_softmax(1)

    def learn(self, settings: Adversarial, queries: Queries, log_shares: Tensor, drawn: Tensor, by_generator: Tensor) -> None:
        """One step of REINFORCE on the loss that the drawn candidates cause."""
        reward = queries.harm(self.vectors[drawn]).detach().float()  # (Q, R)
        baseline = torch.zeros((), device=reward.device)
        if settings.baseline == "self_critical":
            baseline = queries.harm(self.vectors[log_shares.argmax(1, keepdim=True)]).detach().float()  # (Q, 1)
        elif settings.baseline == "moving_average" and self.mean_reward is not None:
            baseline = self.mean_reward
        mean = reward.mean()
        self.mean_reward = mean if self.mean_reward is None else self.mean_reward.lerp(mean, 0.1)
        self.calls += 1
        if self.calls % settings.every_steps:
            return
        self.optimizer.param_groups[0]["lr"] = settings.rate(self.updates)
        self.optimizer.zero_grad()
        reinforce(log_shares, drawn, reward - baseline, by_generator, settings.entropy).backward()
        self.optimizer.step()
        self.updates += 1

    def state(self) -> dict[str, Tensor]:
        moments = {f"adam.{name}": value for name, value in self.optimizer.state.get(self.form, {}).items()}
        reward = {} if self.mean_reward is None else {"mean_reward": self.mean_reward}
        counts = {"counts": torch.tensor([self.steps, self.calls, self.updates])}
        kept = {"vectors": self.vectors, "keys": self.keys, "places": self.places, "seen": self.seen, "form": self.form.detach()}
        return {**kept, **counts, **moments, **reward}

    def restore(self, state: Mapping[str, Tensor]) -> _Side:
        """Itself, with what `state` says."""
        for name in ("vectors", "keys", "places", "seen"):
            getattr(self, name).copy_(state[name])
        self.form.data.copy_(state["form"])
        self.units = functional.normalize(self.vectors, dim=1)
        self.steps, self.calls, self.updates = state["counts"].tolist()
        self.mean_reward = state["mean_reward"].to(self.vectors.device) if "mean_reward" in state else None
        moments = {name.removeprefix("adam."): value for name, value in state.items() if name.startswith("adam.")}
        if moments:
            self.optimizer.state[self.form] = {
                name: value.clone() if name == "step" else value.to(self.vectors.device, copy=True) for name, value in moments.items()
            }
        return self


def draw(shares: Tensor, allowed: Tensor, samples: int, noise: float, generators: list) -> tuple[Tensor, Tensor]:
    """Candidates for each query, with replacement: indices (Q, samples), and which of them the generator has drawn, (Q, samples) bool.

    `shares` (Q, K) is the generator's distribution; with probability `noise` any of the `allowed` candidates is as likely as another. What
    is not allowed is never drawn.
    """
    numbers = torch.tensor([[(g.random(), g.random()) for _ in range(samples)] for g in generators], dtype=torch.float64)
    coins, places = numbers.to(shares.device).unbind(-1)  # (Q, samples)
    generated = coins >= noise
    drawn = _inverse(shares * allowed, places)
    if noise > 0:
        drawn = torch.where(generated, drawn, _inverse(allowed.double(), places))
    return drawn, generated


def _inverse(weights: Tensor, places: Tensor) -> Tensor:
    """The index (Q, R) at which the cumulated weights (Q, K) exceed the share `places` (Q, R), in [0, 1), of their sum."""
    cumulated = weights.double().cumsum(1)
    total = cumulated[:, -1:]
    last = (cumulated < total).sum(1, keepdim=True)  # the first place with the whole sum: rounding must not lead behind it
    return torch.searchsorted(cumulated, places * total, right=True).minimum(last)


def reinforce(log_shares: Tensor, drawn: Tensor, advantage: Tensor, by_generator: Tensor, entropy: float = 0.0) -> Tensor:
    """A scalar whose gradient is minus the REINFORCE estimate (Williams, 1992) of that of the expected reward, plus `entropy` times H.

    `log_shares` (Q, K) with gradients, `drawn` (Q, R), `advantage` (Q, R) the rewards minus a baseline, `by_generator` (Q, R) bool: draws
    of the noise say nothing of the generator. Mean over queries of the mean over its own draws.
    """
    counts = by_generator.sum(1).clamp(min=1)
    gained = (advantage * log_shares.gather(1, drawn) * by_generator).sum(1) / counts
    objective = gained.mean()
    if entropy > 0:
        finite = log_shares.masked_fill(log_shares == -torch.inf, 0.0)
        objective = objective - entropy * (log_shares.exp() * finite).sum(1).mean()
    return -objective
