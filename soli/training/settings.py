"""What a researcher sets about training, one small class per section of configs/train.yaml."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class VocabularySettings:
    """Words seen fewer than `min_count` times in the training captions become <unk>."""

    min_count: int = 5


@dataclass(frozen=True)
class LoaderSettings:
    """`batch_size` photographs a step, each with all its captions, cut to `max_tokens` tokens (start and end included)."""

    batch_size: int = 32
    max_tokens: int = 40


@dataclass(frozen=True)
class OptimizerSettings:
    """AdamW. `lr` is multiplied by the factor that a phase gives each module; gradients are clipped to a total norm of `clip_norm`."""

    lr: float = 1e-3
    weight_decay: float = 0.0
    clip_norm: float | None = 5.0
    schedule: Literal["constant", "cosine"] = "cosine"
    warmup_steps: int = 0


@dataclass(frozen=True)
class ValidationSettings:
    """Captions of the validation split are generated every `every_epochs` epochs; `patience` is how many of these may bring no gain."""

    every_epochs: int = 1
    limit: int | None = None
    num_beams: int = 1
    metric: str = "CIDEr"
    patience: int | None = None


@dataclass(frozen=True)
class GenerationSettings:
    """Beam search with `num_beams` beams (1: greedy), at most `max_tokens` words, scores divided by length ** `length_penalty`."""

    num_beams: int = 3
    max_tokens: int = 30
    length_penalty: float = 1.0
    batch_size: int = 32


@dataclass(frozen=True)
class LoggingSettings:
    """A line of metrics.jsonl every `every_steps` steps, and the same figures for TensorBoard on request."""

    every_steps: int = 20
    tensorboard: bool = False


@dataclass(frozen=True)
class RuntimeSettings:
    """Where and how fast: `device` is cpu, cuda, cuda:1 or auto; `threads` null leaves PyTorch's choice."""

    device: str = "cpu"
    precision: Literal["fp32", "bf16"] = "fp32"
    workers: int = 0
    threads: int | None = None
    max_steps: int | None = None


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
