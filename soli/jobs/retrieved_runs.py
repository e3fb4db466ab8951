"""From a run that matches photographs and captions to its scores of retrieval, and to the files that show them: retrieval.json, tables."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor
from tqdm import tqdm

from soli.evaluation import signature
from soli.evaluation.journal import Journal
from soli.evaluation.ladder import match_ladder
from soli.evaluation.presets import RETRIEVAL
from soli.evaluation.retrieval import Ranks
from soli.evaluation.retrieval_folds import check_folds, fold_ranks, owners
from soli.evaluation.retrieval_statistics import RetrievalStatistics
from soli.evaluation.summary import family, relative_drop, side
from soli.evaluation.writing import making, write_whole
from soli.interfaces import SoliError
from soli.jobs.captioned_runs import Plan, digest, load_model
from soli.jobs.compared_runs import MAY_DIFFER, compare_runs
from soli.jobs.scored_runs import ScoredRun, sign, table_rows, write_tables
from soli.runs import versions
from soli.training.settings import GenerationSettings

HEADLINES = ("rsum", "i2t_R@1", "t2i_R@1")  # the scores that comparisons have a table of; drops are of the first


@dataclass(frozen=True)
class RetrievalPlan(Plan):
    """What is to be retrieved; `fold_size` photographs are ranked together, None: all of them."""

    fold_size: int | None = None

    @classmethod
    def of(cls, folder: Path, config: DictConfig, key: str = "run") -> RetrievalPlan:
        """The config of soli.evaluate applied to a run. Raises SoliError for what retrieval, the run or its data do not have."""
        if config.compare is not None:
            raise SoliError(f"compare={config.compare} is about captions, and metrics=retrieval generates none: leave one of them out.")
        given = [f"generation.{name}={value}" for name, value in config.generation.items() if value is not None and name != "batch_size"]
        if given:
            raise SoliError(f"{' '.join(given)}: metrics=retrieval generates no captions. Leave it out.")
        plan = super().of(folder, config, key)
        check_folds(len(plan.examples), config.fold_size)
        unused = GenerationSettings(batch_size=plan.generation.batch_size)  # the same for all runs, so that they compare
        return replace(plan, generation=unused, fold_size=config.fold_size)

    @cached_property
    def origin(self) -> dict[str, Any]:
        """All that the ranks depend on."""
        described = {name: value for name, value in self.trained.items() if name not in ("dataset", *MAY_DIFFER)}
        config = digest(json.dumps(described, sort_keys=True).encode())
        return {**super().origin, "config": config, "fold_size": self.fold_size}

    @property
    def owners(self) -> list[int]:
        """Which photograph each caption is of, the captions in order."""
        return owners([example.captions for example in self.examples]).tolist()

    @property
    def protocol(self) -> str:
        """Everything that a score depends on besides the weights. Words are cut as by the model itself (tok:own)."""
        number = len(self.examples)
        return signature(
            metric=RETRIEVAL[0],
            level="caption",
            tok="own",
            data=self.dataset.name,
            split=self.split,
            images=number,
            captions=len(self.owners),
            folds=f"{number // (self.fold_size or number)}x{self.fold_size or number}",
            side=self.dataset.reference_side or "own",
            mode=self.trained["degradation"]["mode"],
            checkpoint=self.checkpoint,
            precision=self.precision,
            torch=versions()["torch"],
        )


@dataclass(frozen=True)
class RankedRun:
    """A run's ranks of all photographs and captions, by condition, and the median (height, width) of the degraded photographs."""

    ranks: dict[str, Ranks]
    pixels: dict[str, tuple[int, int]]

    def lines(self, plan: RetrievalPlan) -> str:
        """The content of ranks.jsonl: of each photograph the rank of its best caption, and its rank for each caption, from 1."""
        numbers = [len(example.captions) for example in plan.examples]
        images = {name: (ranks.images + 1).tolist() for name, ranks in self.ranks.items()}
        captions = {name: [part.tolist() for part in (ranks.captions + 1).split(numbers)] for name, ranks in self.ranks.items()}
        lines = []
        for index, example in enumerate(plan.examples):
            ranks = {name: {"i2t": images[name][index], "t2i": captions[name][index]} for name in self.ranks}
            lines.append(json.dumps({"image": example.image_id, "ranks": ranks, "captions": example.captions}, ensure_ascii=False))
        return "\n".join(lines) + "\n"


def score_retrieval(plan: RetrievalPlan, config: DictConfig, output: Path) -> ScoredRun:
    """Ranks, scores and files of a run, into the folder `output`. Raises SoliError for embeddings that are not finite."""
    with making(output):
        return _score_retrieval(plan, config, output)


def _score_retrieval(plan: RetrievalPlan, config: DictConfig, output: Path) -> ScoredRun:
    journal = Journal(output / "unfinished_retrieval.jsonl", plan.origin)
    ranked = _rank(plan, config, journal)
    lines = ranked.lines(plan)
    write_whole(output / "ranks.jsonl", lines)
    scored = score_ranks(plan, ranked)
    results = scored.results | {"ranks": digest(lines.encode("utf-8", "backslashreplace"))}
    write_whole(output / "retrieval.json", json.dumps(results, indent=2, allow_nan=False))
    write_tables(output / "retrieval", [table_rows(results)], results["protocol"])
    journal.end()
    return scored


def find_ranks(plan: RetrievalPlan, folder: Path) -> RankedRun | None:
    """The ranks of an earlier evaluation in `folder`, if they were made of the very same things; else None."""
    try:
        about = json.loads((folder / "retrieval.json").read_text(encoding="utf-8"))
        text = (folder / "ranks.jsonl").read_text(encoding="utf-8")
        if about["origin"] != plan.origin or about["ranks"] != digest(text.encode()):
            return None
        lines = [json.loads(line)["ranks"] for line in text.split("\n") if line]
        ranks = {name: _ranks([line[name] for line in lines]) for name in about["origin"]["conditions"]}
        return RankedRun(ranks, {name: tuple(size) for name, size in about["pixels"].items()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def score_ranks(plan: RetrievalPlan, ranked: RankedRun) -> ScoredRun:
    """The scores of ranks. Nothing is written."""
    statistics = {name: RetrievalStatistics.of(ranks, plan.owners, plan.fold_size) for name, ranks in ranked.ranks.items()}
    scores = {name: of_one.scores() for name, of_one in statistics.items()}
    drops = relative_drop(scores, HEADLINES[0])
    rows = []
    for degradation in plan.degradations:
        name = degradation.spec
        height, width = ranked.pixels[name]
        row = {"condition": name, "pixels": f"{width}x{height}", "side": side((height, width)), "family": family(degradation)}
        drop = {"drop": drops[name]} if name in drops else {}
        rows.append({**row, **scores[name], **drop, "signature": sign(plan.protocol, name)})
    results = {
        "name": plan.folder.resolve().name,
        "protocol": plan.protocol,
        "headline": HEADLINES[0],
        "fold_size": plan.fold_size,
        "rows": rows,
        "versions": versions(),
        "pixels": ranked.pixels,
        "origin": plan.origin,
    }
    return ScoredRun(plan, {}, results, statistics)


def compare_retrieval(groups: Mapping[str, Sequence[ScoredRun]]) -> dict[str, Any]:
    """Figures of retrieval_comparison.json: those of `compare_runs`, but for what captions cost and embeddings measure.

    Median ranks have no differences: they are no means over photographs.
    """
    bare = {
        name: [replace(scored, results={**scored.results, "embeddings": None, "cost": {}}) for scored in members]
        for name, members in groups.items()
    }
    comparison = compare_runs(bare)
    kept = ("runs", "scores", "differences")
    variants = {name: {key: variant[key] for key in kept} for name, variant in comparison["variants"].items()}
    return {**comparison, "variants": variants}


def tables_of_directions(results: Mapping[str, Any]) -> list[list[dict[str, Any]]]:
    """The rows for people, cut in two so that they fit on a screen: captions found by photographs, then photographs by captions."""
    rows = table_rows(results)
    to_text = [{name: value for name, value in row.items() if not name.startswith(("t2i", "rsum", "drop"))} for row in rows]
    to_image = [{name: value for name, value in row.items() if not name.startswith(("i2t", "pixels"))} for row in rows]
    return [to_text, to_image]


def _rank(plan: RetrievalPlan, config: DictConfig, journal: Journal) -> RankedRun:
    model, data = load_model(plan, config)
    captions = model.joint_captions([caption for example in plan.examples for caption in example.captions])
    _check_finite(captions, "the captions", plan)
    work = {"batch_size": plan.generation.batch_size, "workers": config.runtime.workers, "precision": plan.precision, "journal": journal}
    rungs = match_ladder(model, data, plan.degradations, **work)
    device = model.device if model.device.type == "cuda" else torch.device("cpu")  # others may have no float64
    ranks = {}
    for rung in tqdm(rungs, desc="ranks", unit="condition", dynamic_ncols=True):
        if not rung.embeddings.isfinite().all():
            journal.end()  # it has them too
        _check_finite(rung.embeddings, f"the photographs at {rung.condition}", plan)
        found = fold_ranks(rung.embeddings.to(device), captions.to(device), plan.owners, plan.fold_size)
        ranks[rung.condition] = Ranks(*(part.cpu() for part in found))
    return RankedRun(ranks, {rung.condition: rung.pixels for rung in rungs})


def _check_finite(places: Tensor, what: str, plan: Plan) -> None:
    if not places.isfinite().all():
        raise SoliError(f"The embeddings of {what} are not finite: the weights {plan.weights} are broken, or runtime.precision.")


def _ranks(photographs: Sequence[Mapping[str, Any]]) -> Ranks:
    """From the entries of ranks.jsonl at a condition."""
    captions = [rank for of_one in photographs for rank in of_one["t2i"]]
    return Ranks(torch.tensor([of_one["i2t"] for of_one in photographs]) - 1, torch.tensor(captions) - 1)
