"""What a researcher sets about training, one small class per section of configs/train.yaml."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from soli.interfaces import SoliError


def _check_at_least(settings: Any, section: str, **minimums: float) -> None:
    """Raises SoliError for the first of the named values that is set and below its minimum."""
    for name, minimum in minimums.items():
        value = getattr(settings, name)
        if value is not None and not value >= minimum:
            raise SoliError(f"{section}.{name}={value} must be at least {minimum}.")


@dataclass(frozen=True)
class VocabularySettings:
    """Words seen fewer than `min_count` times in the training captions become <unk>."""

    min_count: int = 5

    def __post_init__(self) -> None:
        _check_at_least(self, "vocabulary", min_count=1)


@dataclass(frozen=True)
class LoaderSettings:
    """`batch_size` photographs a step, each with all its captions, cut to `max_tokens` tokens (start and end included).

    `flip` mirrors half of the training photographs, which makes captions that say left or right untrue.
    """

    batch_size: int = 32
    max_tokens: int = 40
    flip: bool = True

    def __post_init__(self) -> None:
        _check_at_least(self, "loader", batch_size=1, max_tokens=2)


@dataclass(frozen=True)
class OptimizerSettings:
    """AdamW. `lr` is multiplied by the factor that a phase gives each module; gradients are clipped to a total norm of `clip_norm`."""

    lr: float = 1e-3
    weight_decay: float = 0.0
    clip_norm: float | None = 5.0
    schedule: Literal["constant", "cosine"] = "cosine"
    warmup_steps: int = 0

    def __post_init__(self) -> None:
        _check_at_least(self, "optimizer", lr=0, weight_decay=0, clip_norm=0, warmup_steps=0)


@dataclass(frozen=True)
class ValidationSettings:
    """Captions of the validation split are generated every `every_epochs` epochs; `patience` is how many of these may bring no gain."""

    every_epochs: int = 1
    limit: int | None = None
    num_beams: int = 1
    metric: Literal["BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L", "CIDEr"] = "CIDEr"
    patience: int | None = None

    def __post_init__(self) -> None:
        _check_at_least(self, "validation", every_epochs=1, limit=1, num_beams=1, patience=1)


@dataclass(frozen=True)
class GenerationSettings:
    """Beam search with `num_beams` beams (1: greedy), at most `max_tokens` words, scores divided by length ** `length_penalty`."""

    num_beams: int = 3
    max_tokens: int = 30
    length_penalty: float = 1.0
    batch_size: int = 32

    def __post_init__(self) -> None:
        _check_at_least(self, "generation", num_beams=1, max_tokens=1, batch_size=1)
        if not -10 <= self.length_penalty <= 10:
            raise SoliError(f"generation.length_penalty={self.length_penalty} must lie between -10 and 10 (1: the mean log-probability).")


@dataclass(frozen=True)
class LoggingSettings:
    """A line of metrics.jsonl every `every_steps` steps, and the same figures for TensorBoard on request."""

    every_steps: int = 20
    tensorboard: bool = False

    def __post_init__(self) -> None:
        _check_at_least(self, "logging", every_steps=1)


@dataclass(frozen=True)
class RuntimeSettings:
    """Where and how fast: `device` is cpu, cuda, cuda:1 or auto; `threads` null leaves PyTorch's choice."""

    device: str = "cpu"
    precision: Literal["fp32", "bf16"] = "fp32"
    workers: int = 0
    threads: int | None = None
    max_steps: int | None = None

    def __post_init__(self) -> None:
        _check_at_least(self, "runtime", workers=0, threads=1, max_steps=1)


@dataclass(frozen=True)
class Phase:
    """One phase of a variant: for `epochs` epochs it trains the modules of `train` under the weighted sum of `losses`.

    `train` maps a module's name to the factor on the learning rate, `losses` a loss's name to its weight; a value of 0 means absent.
    What is not named is frozen: no gradients, and eval mode.
    """

    epochs: int
    train: dict[str, float] = field(default_factory=dict)
    losses: dict[str, float] = field(default_factory=dict)
    conditions: list[str] = field(default_factory=lambda: ["original"])


@dataclass(frozen=True)
class Recipe:
    """All that the loop is told: the phases in order, and the settings that they share."""

    phases: dict[str, Phase]
    seed: int = 0
    mode: Literal["matrix", "uint8_exact"] = "matrix"
    loader: LoaderSettings = field(default_factory=LoaderSettings)
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    validation: ValidationSettings = field(default_factory=ValidationSettings)
    logging: LoggingSettings = field(default_factory=LoggingSettings)
    runtime: RuntimeSettings = field(default_factory=RuntimeSettings)
