"""How captions are generated: the options of generate (soli/generation.py), without PyTorch."""

from __future__ import annotations

import math
from dataclasses import dataclass

from soli.interfaces import SoliError

MOST = {"num_beams": 1000, "max_tokens": 10_000}


@dataclass(frozen=True)
class GenerationOptions:
    """How captions are generated: searched with `num_beams` beams (1: greedy), or drawn at random (`sample`).

    A caption has at least `min_tokens` tokens and at most `max_tokens` tokens, the end token counted only here. Its score is the sum of
    log-probabilities over length ** `length_penalty`. `no_repeat_ngram` n: no n tokens in a row, the start token among them, come twice.

    Sampling draws each word with probabilities p ** (1 / `temperature`), among the `top_k` likeliest words (None: all), then among the
    fewest that make up a share of `top_p`. What is drawn is a function of `seed` and the image's number.
    """

    num_beams: int = 3
    max_tokens: int = 30
    min_tokens: int = 0
    length_penalty: float = 1.0
    no_repeat_ngram: int | None = None
    sample: bool = False
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises SoliError for values out of their range, and for those that contradict each other."""
        self._check_ranges()
        if self.min_tokens > self.max_tokens:
            raise SoliError(
                f"generation.min_tokens={self.min_tokens} is above generation.max_tokens={self.max_tokens}: lower it, or raise the other."
            )
        given = [f"generation.{name}={value}" for name, value in self.filters.items()]
        if given and not self.sample:
            raise SoliError(
                f"{', '.join(given)} only matters to sampling: add generation.sample=true generation.num_beams=1, or leave it out."
            )
        if self.sample and self.num_beams > 1:
            raise SoliError(f"generation.sample=true draws one caption, not {self.num_beams} beams: add generation.num_beams=1.")

    @property
    def filters(self) -> dict[str, float]:
        """The options that shape the distribution which sampling draws from, where they are not neutral."""
        neutral = {"temperature": 1.0, "top_k": None, "top_p": 1.0}
        return {name: getattr(self, name) for name in neutral if getattr(self, name) != neutral[name]}

    def _check_ranges(self) -> None:
        least = {"num_beams": (1, "greedy search"), "max_tokens": (1, "one word"), "min_tokens": (0, "no minimum")}
        least |= {"no_repeat_ngram": (1, "no word twice; null: all may repeat"), "top_k": (1, "the likeliest word; null: all words")}
        for name, (minimum, meaning) in least.items():
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
                raise SoliError(f"generation.{name}={value!r} must be a whole number.")
            if value is not None and not value >= minimum:
                raise SoliError(f"generation.{name}={value} must be at least {minimum} ({minimum}: {meaning}).")
        for name, most in MOST.items():
            if getattr(self, name) > most:
                raise SoliError(f"generation.{name}={getattr(self, name)} must be at most {most}: more takes all memory, or never ends.")
        if not -10 <= self.length_penalty <= 10:
            raise SoliError(f"generation.length_penalty={self.length_penalty} must lie between -10 and 10 (1: the mean log-probability).")
        if not 0 < self.temperature < math.inf:
            raise SoliError(
                f"generation.temperature={self.temperature} must be a number above 0 (1: the model's own probabilities). For the likeliest "
                "words leave it out, with generation.sample=false."
            )
        if not 0 < self.top_p <= 1:
            raise SoliError(f"generation.top_p={self.top_p} must be above 0 and at most 1 (1: all words).")
