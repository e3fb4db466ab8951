"""The generator of adversarial negatives: what it remembers of the candidates, how it draws, how REINFORCE (Williams, 1992) teaches it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

import torch
from torch import Tensor
from torch.nn import functional

from soli.interfaces import Queries


class Generator:
    """Of one direction: the remembered candidates (K, E), the generator's matrix A, its optimizer and baseline."""

    def __init__(self, size: int, width: int, device: torch.device):
        self.vectors = torch.zeros(size, width, device=device)
        self.units = torch.zeros_like(self.vectors)  # the same with length 1
        self.keys, self.places = (torch.zeros(size, dtype=torch.long, device=device) for _ in range(2))
        self.seen = torch.zeros(size, dtype=torch.bool, device=device)
        self.form = torch.eye(width, device=device, requires_grad=True)  # at the start: likely where the embedding itself sees likeness
        self.optimizer = torch.optim.Adam([self.form])
        self.steps, self.updates = 0, 0
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

    def learn(
        self, queries: Queries, log_shares: Tensor, drawn: Tensor, by_generator: Tensor, baseline: str, entropy: float, rate: float
    ) -> None:
        """One step of REINFORCE at the learning rate `rate` on the loss that the drawn candidates (Q, R) cause."""
        reward = queries.harm(self.vectors[drawn]).detach().float()  # (Q, R)
        expected = torch.zeros((), device=reward.device)
        if baseline == "self_critical":
            expected = queries.harm(self.vectors[log_shares.argmax(1, keepdim=True)]).detach().float()  # (Q, 1)
        elif baseline == "moving_average" and self.mean_reward is not None:
            expected = self.mean_reward
        mean = reward.mean()
        self.mean_reward = mean if self.mean_reward is None else self.mean_reward.lerp(mean, 0.1)
        self.optimizer.param_groups[0]["lr"] = rate
        self.optimizer.zero_grad()
        reinforce(log_shares, drawn, reward - expected, by_generator, entropy).backward()
        self.optimizer.step()
        self.updates += 1

    def state(self) -> dict[str, Tensor]:
        moments = {f"adam.{name}": value for name, value in self.optimizer.state.get(self.form, {}).items()}
        reward = {} if self.mean_reward is None else {"mean_reward": self.mean_reward}
        counts = {"counts": torch.tensor([self.steps, self.updates])}
        kept = {"vectors": self.vectors, "keys": self.keys, "places": self.places, "seen": self.seen, "form": self.form.detach()}
        return {**kept, **counts, **moments, **reward}

    def on(self, device: torch.device) -> Generator:
        """The same on another device."""
        return Generator(*self.vectors.shape, device).restore(self.state())

    def restore(self, state: Mapping[str, Tensor]) -> Generator:
        """Itself, with what `state` says."""
        for name in ("vectors", "keys", "places", "seen"):
            getattr(self, name).copy_(state[name])
        self.form.data.copy_(state["form"])
        self.units = functional.normalize(self.vectors, dim=1)
        self.steps, self.updates = state["counts"].tolist()
        self.mean_reward = state["mean_reward"].to(self.vectors.device) if "mean_reward" in state else None
        moments = {name.removeprefix("adam."): value for name, value in state.items() if name.startswith("adam.")}
        if moments:
            self.optimizer.state[self.form] = {
                name: value.clone() if name == "step" else value.to(self.vectors.device, copy=True) for name, value in moments.items()
            }
        return self


def draw(shares: Tensor, allowed: Tensor, samples: int, noise: float, generators: Sequence[Random]) -> tuple[Tensor, Tensor]:
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
