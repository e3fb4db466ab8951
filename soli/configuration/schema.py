"""What each command's config may hold: a class per yaml file of configs/, its annotations the types that values are checked against."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from soli.training.settings import (
    EmbeddingSettings,
    FeatureSettings,
    GenerationSettings,
    JointSettings,
    LoaderSettings,
    LoggingSettings,
    MatchingSettings,
    OptimizerSettings,
    Phase,
    RuntimeSettings,
    SiameseSettings,
    SpectralSettings,
    ValidationSettings,
    VocabularySettings,
)


class Part:
    """A section with a `_target_`: its other keys are arguments of that callable."""


@dataclass(frozen=True)
class DegradationChoice:
    """configs/degradation: the conditions of evaluation, and how they are computed."""

    conditions: list[str]
    mode: Literal["matrix", "uint8_exact"]


@dataclass(frozen=True)
class VariantChoice:
    """configs/variant: the phases in order."""

    phases: dict[str, Phase]


@dataclass(frozen=True)
class ModelChoice:
    """A whole captioner to start from: a VisionEncoderDecoderModel of ViT and GPT-2, which brings the encoder and decoder sections."""

    pretrained: str | None


@dataclass(frozen=True)
class MatchingChoice(MatchingSettings):
    """configs/matching: the loss of the matching term, its negatives, and which captions it compares."""

    loss: Part = field(default_factory=Part)
    negatives: Part = field(default_factory=Part)


@dataclass(frozen=True)
class TrainConfig:
    """configs/train.yaml."""

    dataset: Part
    encoder: Part
    decoder: Part
    degradation: DegradationChoice
    contrastive: Part
    negatives: Part
    text_encoder: Part
    matching: MatchingChoice
    variant: VariantChoice
    runtime: RuntimeSettings
    epochs: int
    seed: int
    run_dir: str | None
    resume: str | None
    dry_run: bool
    init_from: str | None
    model: ModelChoice
    embedding: EmbeddingSettings
    siamese: SiameseSettings
    joint: JointSettings
    spectral: SpectralSettings
    features: FeatureSettings
    vocabulary: VocabularySettings
    loader: LoaderSettings
    optimizer: OptimizerSettings
    validation: ValidationSettings
    generation: GenerationSettings
    logging: LoggingSettings


@dataclass(frozen=True)
class DatasetChanges:
    """What evaluation may change of a run's dataset; null: as in the run."""

    root: str | None
    limit: int | None


@dataclass(frozen=True)
class GenerationChanges:
    """GenerationSettings; null: as in the run."""

    num_beams: int | None
    max_tokens: int | None
    min_tokens: int | None
    length_penalty: float | None
    no_repeat_ngram: int | None
    sample: bool | None
    temperature: float | None
    top_k: int | None
    top_p: float | None
    seed: int | None
    batch_size: int | None


@dataclass(frozen=True)
class EvaluateConfig:
    """configs/evaluate.yaml."""

    run: str | None
    runs: list[str] | dict[str, list[str]] | None
    split: str
    checkpoint: Literal["best", "last"]
    conditions: list[str] | None
    metrics: str | list[str]
    fold_size: int | None
    compare: Literal["paper"] | None
    cost: bool
    report: bool
    gallery: int
    output: str | None
    dataset: DatasetChanges
    generation: GenerationChanges
    runtime: RuntimeSettings


@dataclass(frozen=True)
class CaptionConfig:
    """configs/caption.yaml."""

    run: str
    images: list[str] | str
    checkpoint: Literal["best", "last"]
    condition: str | None
    json: bool
    attention: str | None
    generation: GenerationChanges
    runtime: RuntimeSettings


@dataclass(frozen=True)
class ExportConfig:
    """configs/export.yaml."""

    run: str
    to: str
    checkpoint: Literal["best", "last"]
    program: bool


SCHEMAS = {"train": TrainConfig, "evaluate": EvaluateConfig, "caption": CaptionConfig, "export": ExportConfig}
