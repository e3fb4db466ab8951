"""What a researcher sets about training, one small class per section of configs/train.yaml."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from soli.generation_options import GenerationOptions
from soli.interfaces import SoliError

LARGEST = 3.4e38  # of the numbers that PyTorch computes with
MOST_PROCESSES = 1024  # or threads


def _check_at_least(settings: Any, section: str, **minimums: float) -> None:
    """Raises SoliError for the first of the named values that is set, and below its minimum or not finite."""
    for name, minimum in minimums.items():
        value = getattr(settings, name)
        if value is not None and not value >= minimum:
            raise SoliError(f"{section}.{name}={value} must be at least {minimum}.")
        if value is not None and value > LARGEST:
            raise SoliError(f"{section}.{name}={value} must be a finite number, at most {LARGEST:g}.")


@dataclass(frozen=True)
class VocabularySettings:
    """Words seen fewer than `min_count` times in the training captions become <unk>."""

    min_count: int = 5

    def __post_init__(self) -> None:
        _check_at_least(self, "vocabulary", min_count=1)


@dataclass(frozen=True)
class LoaderSettings:
    """`batch_size` photographs a step, over all processes, each with all its captions, cut to `max_tokens` tokens (start and end included).

    `accumulation` is in how many parts a process takes its share of a step, to save memory: the result is the same (but for dropout's draws
    and for batch norm that trains). `flip` mirrors half of the training photographs, which makes captions that say left or right untrue.
    """

    batch_size: int = 32
    accumulation: int = 1
    max_tokens: int = 40
    flip: bool = True

    def __post_init__(self) -> None:
        _check_at_least(self, "loader", batch_size=1, accumulation=1, max_tokens=2)


@dataclass(frozen=True)
class OptimizerSettings:
    """`lr` is multiplied by the factor that a phase gives each module, and by that of `factors` for the module or what it is part of.

    Gradients are clipped to a total norm of `clip_norm`. `name`: adamw (with weight_decay 0 plain Adam), or sgd with a momentum of 0.9.
    """

    name: Literal["adamw", "sgd"] = "adamw"
    lr: float = 1e-3
    factors: dict[str, float] = field(default_factory=dict)
    weight_decay: float = 0.0
    clip_norm: float | None = 5.0
    schedule: Literal["constant", "cosine"] = "cosine"
    warmup_steps: int = 0

    def __post_init__(self) -> None:
        _check_at_least(self, "optimizer", lr=0, weight_decay=0, clip_norm=0, warmup_steps=0)
        if self.clip_norm == 0:
            raise SoliError("optimizer.clip_norm=0 would leave nothing of any gradient: give a number above 0, or null for no clipping.")
        for module, factor in self.factors.items():
            if not 0 < factor < math.inf:
                raise SoliError(
                    f"optimizer.factors.{module}={factor} must be a number above 0; a phase freezes what its train does not name."
                )

    def factor(self, module: str) -> float:
        """What the learning rate of a module is multiplied by in every phase."""
        return math.prod(factor for name, factor in self.factors.items() if f"{module}.".startswith(f"{name}."))


@dataclass(frozen=True)
class OptimizerChanges:
    """OptimizerSettings of a phase; None: as for the whole run."""

    name: Literal["adamw", "sgd"] | None = None
    lr: float | None = None
    weight_decay: float | None = None
    clip_norm: float | None = None
    schedule: Literal["constant", "cosine"] | None = None
    warmup_steps: int | None = None


@dataclass(frozen=True)
class EmbeddingSettings:
    """What the contrastive term compares (soli/embedding.py)."""

    pooling: Literal["mean", "none"] = "mean"
    projector: Literal["none", "linear", "mlp"] = "none"
    dim: int = 128
    normalize: bool = False

    def __post_init__(self) -> None:
        _check_at_least(self, "embedding", dim=1)


@dataclass(frozen=True)
class SiameseSettings:
    """Which encoder sees the first view of the contrastive term: the one that trains (`shared`, the paper), or a copy without gradients.

    `frozen`: the encoder as it was when the phase began. `ema`: its moving average, `decay` of it kept at each step. `auto`, which the
    command resolves: frozen where the encoder has learnt something already, shared where it starts from random weights.
    """

    anchor: Literal["auto", "shared", "frozen", "ema"] = "shared"
    decay: float = 0.999

    def resolve(self, has_learnt: bool) -> SiameseSettings:
        """With `auto` decided."""
        return replace(self, anchor="frozen" if has_learnt else "shared") if self.anchor == "auto" else self

    def __post_init__(self) -> None:
        if not 0 <= self.decay < 1:
            raise SoliError(f"siamese.decay={self.decay} must be at least 0 and below 1: how much of the average each step keeps.")


@dataclass(frozen=True)
class JointSettings:
    """The joint space of the matching term (soli/matching.py)."""

    dim: int = 1024
    pooling: Literal["mean", "first", "first_and_mean"] = "mean"

    def __post_init__(self) -> None:
        _check_at_least(self, "joint", dim=1)


@dataclass(frozen=True)
class MatchingSettings:
    """Which captions the matching term compares (soli/training/matching.py).

    `siblings`: other captions of a photograph are left out ("masked"), or count as negatives as in the published VSE++, where a caption and
    its photograph are an entry of their own ("negatives"). `num_captions`: how many captions of each photograph a step takes, drawn anew in
    every epoch; None: all.
    """

    siblings: Literal["masked", "negatives"] = "masked"
    num_captions: int | None = None

    def __post_init__(self) -> None:
        _check_at_least(self, "matching", num_captions=1)


@dataclass(frozen=True)
class FeatureSettings:
    """Where the features of encoders that do not train are kept (soli/feature_cache): a folder, or None: they are made anew every time.

    `dtype` is the type of the numbers on disk. Photographs are then seen in their whole frame, neither cropped at random nor mirrored.
    """

    cache: str | None = None
    dtype: Literal["float16", "float32"] = "float16"


@dataclass(frozen=True)
class SpectralSettings:
    """The warm-up of the spectral regulariser (soli/losses/spectral.py): its epochs T0."""

    warmup_epochs: int = 10

    def __post_init__(self) -> None:
        _check_at_least(self, "spectral", warmup_epochs=0)


@dataclass(frozen=True)
class ValidationSettings:
    """Captions of the validation split are generated every `every_epochs` epochs, under each of `conditions`: searched, never sampled.

    `metric`, averaged over `select_on` (None: over all conditions), selects the best checkpoint of a phase: a score of captions, or `rsum`,
    the sum of the recalls of retrieval, where matching is trained. `auto`, which the command resolves: rsum where nothing but matching is
    trained, else CIDEr. `patience` is how many validations may bring no gain.
    """

    every_epochs: int = 1
    conditions: list[str] = field(default_factory=lambda: ["original", "R0.1S50"])
    select_on: list[str] | None = None
    limit: int | None = None
    num_beams: int = 1
    metric: Literal["auto", "BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L", "CIDEr", "rsum"] = "CIDEr"
    patience: int | None = None

    def __post_init__(self) -> None:
        _check_at_least(self, "validation", every_epochs=1, limit=1, num_beams=1, patience=1)
        if not self.conditions:
            raise SoliError("validation.conditions is empty: name at least one, for example original.")
        others = [name for name in self.selected if name not in self.conditions]
        if others or not self.selected:
            allowed = ", ".join(self.conditions)
            raise SoliError(
                f"validation.select_on={','.join(self.selected)} must name some of validation.conditions, {allowed}, or be null."
            )

    @property
    def selected(self) -> list[str]:
        return self.conditions if self.select_on is None else self.select_on


@dataclass(frozen=True)
class GenerationSettings(GenerationOptions):
    """GenerationOptions (soli/generation_options.py), and how many photographs are captioned at a time."""

    batch_size: int = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_at_least(self, "generation", batch_size=1)

    @property
    def options(self) -> dict[str, Any]:
        """Those of GenerationOptions, on which captions depend."""
        return {name: value for name, value in asdict(self).items() if name != "batch_size"}


@dataclass(frozen=True)
class LoggingSettings:
    """A line of metrics.jsonl every `every_steps` steps, and the same figures for TensorBoard on request."""

    every_steps: int = 20
    tensorboard: bool = False

    def __post_init__(self) -> None:
        _check_at_least(self, "logging", every_steps=1)


@dataclass(frozen=True)
class RuntimeSettings:
    """Where and how fast: `device` is cpu, cuda, cuda:1 or auto; `threads` None leaves PyTorch's choice; `compile` the encoder first.

    Under torchrun each process takes the device of its local rank, where `device` names no particular one; with `shard` each keeps its
    share of an encoder that trains (soli/training/sharding.py). `save_every_steps` saves within epochs too.
    """

    device: str = "cpu"
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    workers: int = 0
    threads: int | None = None
    compile: bool = False
    max_steps: int | None = None
    save_every_steps: int | None = None
    shard: bool = False

    def __post_init__(self) -> None:
        _check_at_least(self, "runtime", workers=0, threads=1, max_steps=1, save_every_steps=1)
        for name in ("workers", "threads"):
            if (getattr(self, name) or 0) > MOST_PROCESSES:
                raise SoliError(f"runtime.{name}={getattr(self, name)} must be at most {MOST_PROCESSES}; few machines have as many cores.")
        if self.shard and self.precision == "fp16":
            raise SoliError(
                "runtime.shard=true does not go with runtime.precision=fp16, whose loss scale looks at all gradients: use bf16."
            )


@dataclass(frozen=True)
class Phase:
    """One phase of a variant: for `epochs` epochs (None: an equal share of the recipe's) it trains the modules of `train` under the
    weighted sum of `losses`.

    `train` maps a module's name to the factor on the learning rate, `losses` a loss's name to its weight; a value of 0 means absent.
    What is not named is frozen: no gradients, and eval mode. `views` are one or two views of each photograph, each with the conditions
    that it is drawn from: a list, or a mapping of conditions to weights. `caption_views` are those whose captions are learnt (None: all),
    `matching_views` those that are matched with captions.
    """

    epochs: int | None = None
    train: dict[str, float] = field(default_factory=dict)
    losses: dict[str, float | None] = field(default_factory=dict)
    views: dict[str, list[str] | dict[str, float]] = field(default_factory=lambda: {"clean": ["original"]})
    caption_views: list[str] | None = None
    matching_views: list[str] | None = None
    optimizer: OptimizerChanges = field(default_factory=OptimizerChanges)


@dataclass(frozen=True)
class Recipe:
    """All that the loop is told: the phases in order, and the settings that they share."""

    phases: dict[str, Phase]
    epochs: int = 10
    seed: int = 0
    mode: Literal["matrix", "uint8_exact"] = "matrix"
    siamese: SiameseSettings = field(default_factory=SiameseSettings)
    matching: MatchingSettings = field(default_factory=MatchingSettings)
    spectral: SpectralSettings = field(default_factory=SpectralSettings)
    features: FeatureSettings = field(default_factory=FeatureSettings)
    loader: LoaderSettings = field(default_factory=LoaderSettings)
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    validation: ValidationSettings = field(default_factory=ValidationSettings)
    logging: LoggingSettings = field(default_factory=LoggingSettings)
    runtime: RuntimeSettings = field(default_factory=RuntimeSettings)

    def __post_init__(self) -> None:
        if not -(2**63) <= self.seed < 2**63:
            raise SoliError(f"seed={self.seed} must be a whole number of at most 18 digits.")
