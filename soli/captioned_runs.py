"""From a run folder to captions at every condition: made by the model, or found in an earlier evaluation."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from soli.datasets import CaptionedImages, check_photographs
from soli.degradations import Degradation, parse
from soli.evaluation.cost import measure_cost, training_cost
from soli.evaluation.diagnostics import diagnose
from soli.evaluation.journal import Journal
from soli.evaluation.ladder import climb
from soli.interfaces import CaptionDataset, Example, SoliError
from soli.model import Captioner
from soli.runs import build_dataset, generation_settings, load, read_config, versions

NUM_TIMED = 21  # photographs captioned one after another for their cost; the first warms up


@dataclass(frozen=True)
class Plan:
    """What is to be evaluated, with every setting checked before the long work begins."""

    folder: Path
    trained: dict[str, Any]
    generation: dict[str, Any]
    dataset: CaptionDataset
    degradations: tuple[Degradation, ...]
    split: str
    checkpoint: str
    precision: str

    @classmethod
    def of(cls, folder: Path, config: DictConfig, key: str = "run") -> Plan:
        """The config of soli.evaluate applied to a run. Raises SoliError for what the run or its data do not have."""
        trained = read_config(folder, key)
        dataset = build_dataset(trained, **config.dataset)
        if config.split not in dataset.splits:
            raise SoliError(f"split={config.split} is not a split of {dataset.name}: choose one of {', '.join(dataset.splits)}.")
        names = list(config.conditions if config.conditions is not None else trained["degradation"]["conditions"])
        degradations = tuple(dict.fromkeys(parse(name, trained["degradation"]["mode"], dataset.reference_side) for name in names))
        if not degradations:
            raise SoliError("conditions is empty: name at least one, for example conditions=[original,R0.1S50].")
        generation = generation_settings(trained, config)
        return cls(folder, trained, generation, dataset, degradations, config.split, config.checkpoint, config.runtime.precision)

    @property
    def examples(self) -> list[Example]:
        return list(self.dataset.examples(self.split))

    @property
    def weights(self) -> Path:
        return self.folder / f"{self.checkpoint}.safetensors"

    @property
    def origin(self) -> dict[str, Any]:
        """All that the captions depend on: where it is the same, they are. Paths are not part of it, contents are."""
        captions = json.dumps([[example.image_id, example.captions] for example in self.examples])
        fixed = {name: self.trained[name] for name in ("encoder", "decoder", "embedding")}
        return {
            "weights": _digest(self.weights.read_bytes()) if self.weights.is_file() else None,
            "config": _digest(json.dumps(fixed, sort_keys=True).encode()),
            "data": _digest(captions.encode()),
            "split": self.split,
            "conditions": [degradation.spec for degradation in self.degradations],
            "mode": self.trained["degradation"]["mode"],
            "reference_side": self.dataset.reference_side,
            "generation": {name: value for name, value in self.generation.items() if name != "batch_size"},
            "precision": self.precision,
            "versions": versions(),
        }


@dataclass(frozen=True)
class Captions:
    """A run's captions of all photographs, by condition, and what was measured while they were made; JSON but for `model` and `data`.

    `pixels`: median (height, width) of the degraded photographs. `embeddings`: `diagnose`; None without the original among the conditions.
    `model` is None where the captions were found.
    """

    captions: dict[str, list[str]]
    pixels: dict[str, tuple[int, int]]
    embeddings: dict[str, Any] | None
    cost: dict[str, Any]
    model: Captioner | None = None
    data: CaptionedImages | None = None


def make_captions(plan: Plan, config: DictConfig, output: Path) -> Captions:
    """Captions every photograph of the plan at every condition, with the weights of its checkpoint; an interrupted one in `output` goes on.

    Raises SoliError for weights and photographs that cannot be read, before the first caption.
    """
    model = load(plan.folder, plan.checkpoint, config.runtime.device)
    data = CaptionedImages(plan.dataset, plan.split, model.tokenizer)
    check_photographs(data.examples)
    journal = Journal(output / "unfinished.jsonl", plan.origin)
    work = {"workers": config.runtime.workers, "precision": plan.precision, "journal": journal}
    rungs = climb(model, data, plan.degradations, **work, **plan.generation)
    copies = {rung.condition: rung.embeddings for rung in rungs}
    original = copies.pop("original", None)
    cost = _cost(plan, model, data) if config.cost else {}
    journal.end()
    return Captions(
        {rung.condition: rung.captions for rung in rungs},
        {rung.condition: rung.pixels for rung in rungs},
        None if original is None else diagnose(original, copies),
        cost,
        model,
        data,
    )


def find_captions(plan: Plan, folder: Path) -> Captions | None:
    """The captions of an earlier evaluation in `folder`, if they were made of the very same things; else None."""
    try:
        about = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        if about["origin"] != plan.origin:
            return None
        lines = [json.loads(line) for line in (folder / "captions.jsonl").read_text(encoding="utf-8").split("\n") if line]
        captions = {name: [line["captions"][name] for line in lines] for name in about["origin"]["conditions"]}
        pixels = {name: tuple(size) for name, size in about["pixels"].items()}
        if [line["image"] for line in lines] != [example.image_id for example in plan.examples]:
            return None
        return Captions(captions, pixels, about["embeddings"], about["cost"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _cost(plan: Plan, model: Captioner, data: CaptionedImages) -> dict[str, Any]:
    photographs = [data.image(index) for index in range(min(NUM_TIMED, len(data)))]
    options = {name: value for name, value in plan.generation.items() if name != "batch_size"}
    taken = measure_cost(model, photographs, plan.precision, **options)
    return {**taken, **training_cost(plan.folder / "metrics.jsonl", plan.folder / "data.json")}


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
