"""From a run folder to captions at every condition: made by the model, or found in an earlier evaluation."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from soli.datasets import CaptionedImages
from soli.degradations import Degradation, parse
from soli.evaluation.cost import measure_cost, training_cost
from soli.evaluation.diagnostics import diagnose
from soli.evaluation.journal import Journal
from soli.evaluation.ladder import climb
from soli.evaluation.presets import RETRIEVAL, chosen_metrics
from soli.interfaces import CaptionDataset, Example, SoliError
from soli.jobs.sizes import check_splits
from soli.jobs.starting import has_learnt_captions
from soli.model import Captioner
from soli.runs import STARTING_FILES, build_dataset, generation_settings, load, matches, read_config, versions
from soli.training.checkpoint import read_progress
from soli.training.settings import GenerationSettings

PARTS = ("encoder", "decoder", "embedding")
NUM_TIMED = 21  # photographs captioned one after another for their cost; the first warms up


@dataclass(frozen=True)
class Plan:
    """What is to be evaluated, with every setting checked before the long work begins."""

    folder: Path
    trained: dict[str, Any]
    generation: GenerationSettings
    dataset: CaptionDataset
    degradations: tuple[Degradation, ...]
    split: str
    checkpoint: str
    precision: str

    @classmethod
    def of(cls, folder: Path, config: DictConfig, key: str = "run") -> Plan:
        """The config of soli.evaluate applied to a run. Raises SoliError for what the run or its data do not have."""
        trained = read_config(folder, key)
        check_learnt(folder, trained, chosen_metrics(config.metrics))
        dataset = build_dataset(trained, **config.dataset)
        if config.split not in dataset.splits:
            raise SoliError(f"split={config.split} is not a split of {dataset.name}: choose one of {', '.join(dataset.splits)}.")
        names = list(config.conditions if config.conditions is not None else trained["degradation"]["conditions"])
        degradations = tuple(dict.fromkeys(parse(name, trained["degradation"]["mode"], dataset.reference_side) for name in names))
        if not degradations:
            raise SoliError("conditions is empty: name at least one, for example conditions=[original,R0.1S50].")
        if config.compare == "paper" and not any(degradation.spec == "original" for degradation in degradations):
            raise SoliError("compare=paper needs the original among the conditions.")
        if config.runtime.precision == "fp16":
            raise SoliError("runtime.precision=fp16 is for training: evaluate with fp32 or bf16.")
        generation = generation_settings(trained, config)
        plan = cls(folder, trained, generation, dataset, degradations, config.split, config.checkpoint, config.runtime.precision)
        other = {"best": "last", "last": "best"}[plan.checkpoint]
        if not plan.weights.is_file() and (folder / f"{other}.safetensors").is_file():
            raise SoliError(f"There is no checkpoint {plan.weights}: this run has checkpoint={other}.")
        read_progress(plan.weights)
        return plan

    @cached_property
    def examples(self) -> list[Example]:
        return list(self.dataset.examples(self.split))

    @property
    def weights(self) -> Path:
        return self.folder / f"{self.checkpoint}.safetensors"

    @cached_property
    def origin(self) -> dict[str, Any]:
        """All that the captions depend on: where it is the same, they are. Paths are not part of it, contents are."""
        photographs = [[example.image_id, example.captions, self.dataset.fingerprint(example)] for example in self.examples]
        parts = [{name: value for name, value in self.trained[part].items() if name not in STARTING_FILES} for part in PARTS]
        return {
            "weights": digest(self.weights.read_bytes()),
            "config": digest(json.dumps(parts, sort_keys=True).encode()),
            "data": digest(json.dumps(photographs).encode()),
            "split": self.split,
            "conditions": [degradation.spec for degradation in self.degradations],
            "mode": self.trained["degradation"]["mode"],
            "reference_side": self.dataset.reference_side,
            "generation": self.generation.options,
            "precision": self.precision,
            "versions": versions(),
        }


@dataclass(frozen=True)
class CaptionedRun:
    """A run's captions of all photographs, by condition, and what was measured while they were made.

    `pixels`: median (height, width) of the degraded photographs. `embeddings`: `diagnose`; None without the original among the conditions.
    """

    captions: dict[str, list[str]]
    pixels: dict[str, tuple[int, int]]
    embeddings: dict[str, Any] | None
    cost: dict[str, Any]

    def lines(self, examples: Sequence[Example]) -> str:
        """The content of captions.jsonl."""
        lines = []
        for index, example in enumerate(examples):
            captions = {name: of_condition[index] for name, of_condition in self.captions.items()}
            lines.append(json.dumps({"image": example.image_id, "captions": captions, "references": example.captions}, ensure_ascii=False))
        return "\n".join(lines) + "\n"


def check_learnt(folder: Path, trained: Mapping[str, Any], metrics: Sequence[str]) -> None:
    """Raises SoliError for a run whose config says that it has not learnt what the metrics are about."""
    if metrics == RETRIEVAL and not matches(trained):
        raise SoliError(
            f"{folder} was not trained to match photographs and captions, which metrics=retrieval is about: train a run with "
            "variant=vse_plus_plus, or leave metrics out to score captions."
        )
    if metrics != RETRIEVAL and not has_learnt_captions(trained):
        raise SoliError(f"{folder} has learnt no captions: give metrics=retrieval.")


def load_model(plan: Plan, config: DictConfig) -> tuple[Captioner, CaptionedImages]:
    """The captioner and its photographs. Raises SoliError for weights and photographs that cannot be read, or are too small."""
    model = load(plan.folder, plan.checkpoint, config.runtime.device)
    data = CaptionedImages(plan.dataset, plan.split, model.tokenizer)
    check_splits(plan.dataset, {plan.split: plan.degradations})
    return model, data


def make_captions(plan: Plan, config: DictConfig, model: Captioner, data: CaptionedImages, journal: Journal) -> CaptionedRun:
    """Captions every photograph of the plan at every condition; what the journal has is not done again.

    Raises SoliError for embeddings that are not finite.
    """
    work = {"batch_size": plan.generation.batch_size, "workers": config.runtime.workers, "precision": plan.precision, "journal": journal}
    rungs = climb(model, data, plan.degradations, **work, **plan.generation.options)
    for rung in rungs:
        if not rung.embeddings.isfinite().all():
            journal.end()  # it has them too
            raise SoliError(
                f"The embeddings at {rung.condition} are not finite: the weights {plan.weights} are broken, or runtime.precision."
            )
    copies = {rung.condition: rung.embeddings for rung in rungs}
    original = copies.pop("original", None)
    return CaptionedRun(
        {rung.condition: rung.captions for rung in rungs},
        {rung.condition: rung.pixels for rung in rungs},
        None if original is None else diagnose(original, copies),
        cost_of(plan, model, data) if config.cost else {},
    )


def find_captions(plan: Plan, folder: Path) -> CaptionedRun | None:
    """The captions of an earlier evaluation in `folder`, if they were made of the very same things; else None."""
    try:
        about = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        text = (folder / "captions.jsonl").read_text(encoding="utf-8")
        if about["origin"] != plan.origin or about["captions"] != digest(text.encode()):
            return None
        lines = [json.loads(line) for line in text.split("\n") if line]
        captions = {name: [line["captions"][name] for line in lines] for name in about["origin"]["conditions"]}
        return CaptionedRun(captions, {name: tuple(size) for name, size in about["pixels"].items()}, about["embeddings"], about["cost"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def cost_of(plan: Plan, model: Captioner, data: CaptionedImages) -> dict[str, Any]:
    """What a caption costs, and what the training took."""
    photographs = [data.image(index) for index in range(min(NUM_TIMED, len(data)))]
    taken = measure_cost(model, photographs, plan.precision, **plan.generation.options)
    return {**taken, **training_cost(plan.folder / "metrics.jsonl", plan.folder / "data.json")}


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
