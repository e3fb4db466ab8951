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

from soli.interfaces import Chosen, Queries, SoliError, check_value
from soli.negatives.generator import Generator, draw
from soli.negatives.hardest import Hardest
from soli.negatives.in_batch import InBatch

IN_STEP = ("hardest", "all", "none")
BASELINES = ("none", "moving_average", "self_critical")
LARGEST = 2**29  # numbers in a memory of candidates, or in the generator's matrix: 2 GiB, and as much again of length 1


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
        self._generators: dict[str, Generator] = {}

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
        generator = self._generator(queries)
        generator.remember(queries)
        warming_up = generator.steps <= self.warmup_steps
        chosen = self._in_step(queries, warming_up)
        allowed = generator.seen & (generator.keys[None, :] != queries.keys[:, None])  # (Q, K): the query's own photograph is masked
        if int(allowed.sum(1).min()) < self.samples:
            return chosen
        log_shares = generator.log_shares(queries.queries, allowed, self.temperature)
        drawn, by_generator = draw(log_shares.detach().exp(), allowed, self.samples, self.noise, queries.generators)
        outside = generator.vectors[drawn]  # (Q, R, E)
        if generator.steps % self.every_steps == 0:
            generator.learn(queries, log_shares, drawn, by_generator, self.baseline, self.entropy, self.rate(generator.updates))
        if warming_up:
            return chosen
        share = torch.full(drawn.shape, self.weight / self.samples, device=drawn.device)
        return Chosen(chosen.own, chosen.weights, outside, share, generator.places[drawn])

    def rate(self, step: int) -> float:
        """The generator's learning rate at its update number `step`, from 0."""
        if self.schedule == "constant":
            return self.lr
        return self.lr * 0.5 * (1 + math.cos(math.pi * min(1.0, step * self.every_steps / self._num_steps)))

    def state_dict(self) -> dict[str, Tensor]:
        """What the memories hold and what the generators have learnt."""
        states = {direction: generator.state() for direction, generator in self._generators.items()}
        return {f"{direction}/{name}": value for direction, state in states.items() for name, value in state.items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self._generators = {}
        for direction in {name.rpartition("/")[0] for name in state}:
            parts = {name.rpartition("/")[2]: value for name, value in state.items() if name.rpartition("/")[0] == direction}
            self._generators[direction] = Generator(*parts["vectors"].shape, parts["vectors"].device).restore(parts)

    def _in_step(self, queries: Queries, warming_up: bool) -> Chosen:
        if warming_up or self.in_step == "all":
            return InBatch().choose(queries)
        if self.in_step == "hardest":
            return Hardest().choose(queries)
        return Chosen(torch.ones_like(queries.similarity[:, 0]), torch.zeros_like(queries.similarity))

    def _generator(self, queries: Queries) -> Generator:
        if queries.direction not in self._generators:
            size, width = min(self.capacity, self._num_candidates[queries.direction]), queries.candidates.shape[1]
            if max(size, width) * width > LARGEST:
                smaller = f", or lower negatives.capacity to {LARGEST // width}" if width * width <= LARGEST else ""
                raise SoliError(
                    f"negatives=adversarial would remember {size} embeddings of {width} numbers, and a matrix of {width} x {width}: "
                    f"set embedding.pooling=mean{smaller}."
                )
            self._generators[queries.direction] = Generator(size, width, queries.candidates.device)
        generator = self._generators[queries.direction]
        if generator.vectors.device != queries.candidates.device:  # it comes from a checkpoint
            generator = self._generators[queries.direction] = generator.on(queries.candidates.device)
        return generator
