"""From a run's captions to its scores, and to the files that show them: metrics.json, tables, report.html."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from tqdm import tqdm

from soli.degradations import Degradation
from soli.evaluation import CaptionScorer, signature
from soli.evaluation.gallery import make_gallery
from soli.evaluation.journal import Journal
from soli.evaluation.presets import headline, measured_as
from soli.evaluation.report import write_report
from soli.evaluation.signature import generation_entry
from soli.evaluation.statistics import Statistics
from soli.evaluation.summary import INSIDE, area, family, health, relative_drop, share_of_unseen, side
from soli.evaluation.tables import csv_table, latex_table, markdown_table
from soli.evaluation.writing import making, write_whole
from soli.interfaces import Example
from soli.jobs.captioned_runs import CaptionedRun, Plan, cost_of, digest, load_model, make_captions
from soli.runs import versions
from soli.tokenization import tokenize


@dataclass(frozen=True)
class ScoredRun:
    """A run with its scores: `results` are those of metrics.json, `statistics` by condition are what resamples are made of."""

    plan: Plan
    captions: dict[str, list[str]]
    results: dict[str, Any]
    statistics: dict[str, Statistics]


def score_run(plan: Plan, config: DictConfig, scorer: CaptionScorer, output: Path) -> ScoredRun:
    """Captions, scores and files of a run, into the folder `output`.

    What is done is written before what may still fail: the captions before METEOR, the tables before the report.
    """
    with making(output):
        return _score_run(plan, config, scorer, output)


def _score_run(plan: Plan, config: DictConfig, scorer: CaptionScorer, output: Path) -> ScoredRun:
    model, data = load_model(plan, config)
    journal = Journal(output / "unfinished.jsonl", plan.origin)
    made = make_captions(plan, config, model, data, journal)
    lines = made.lines(plan.examples)
    write_whole(output / "captions.jsonl", lines)
    scored = _score(plan, made, scorer)
    results = scored.results | {"captions": digest(lines.encode("utf-8", "backslashreplace"))}
    write_whole(output / "metrics.json", json.dumps(results, indent=2, allow_nan=False))
    write_tables(output / "metrics", [table_rows(results)], results["protocol"])
    journal.end()
    if config.report:
        gallery = []
        if "original" in made.captions:  # to which the others are compared
            each = {name: scorer.score_each(captions) for name, captions in made.captions.items()}
            gallery = make_gallery(model, data, plan.degradations, made.captions, each, config.gallery)
        write_report(output / "report.html", results, gallery)
    return scored


def score_found(plan: Plan, config: DictConfig, scorer: CaptionScorer, found: CaptionedRun) -> ScoredRun:
    """Scores of captions that an earlier evaluation has made, with their cost where it was not measured. Nothing is written."""
    if config.cost and not found.cost:
        found.cost.update(cost_of(plan, *load_model(plan, config)))
    return _score(plan, found, scorer)


def table_rows(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows for people: the conditions, and last what the same model scores when every photograph gets another one's caption."""
    rows = [{name: value for name, value in row.items() if name not in INSIDE} for row in results["rows"]]
    if results.get("permuted"):
        rows.append({"condition": f"{rows[0]['condition']}, permuted", **results["permuted"]})
    return rows


def write_tables(path: Path, tables: Sequence[Sequence[Mapping[str, Any]]], protocol: str) -> None:
    """Tables as <path>.md and .tex, the first one as .csv, each with the protocol; rows of a condition have a signature there."""
    signed = [{**row, "signature": sign(protocol, row["condition"])} for row in tables[0]]
    write_whole(path.with_suffix(".csv"), csv_table(signed))
    write_whole(path.with_suffix(".md"), "\n".join(markdown_table(table, protocol) for table in tables))
    write_whole(path.with_suffix(".tex"), "\n".join(latex_table(table, protocol) for table in tables))


def shuffle(captions: Sequence[str]) -> list[str]:
    """The captions with every photograph's given to another one: what the same model scores when it does not see its photograph."""
    order = list(range(len(captions)))
    random.Random(0).shuffle(order)
    shuffled = list(captions)
    for here, there in zip(order, order[1:] + order[:1], strict=True):
        shuffled[here] = captions[there]
    return shuffled


def protocol_of(plan: Plan, metrics: Sequence[str]) -> str:
    """Everything that a score depends on besides the weights: two scores compare when this line is the same."""
    return signature(
        metric=",".join(metrics),
        **measured_as(metrics, [len(example.captions) for example in plan.examples]),
        data=plan.dataset.name,
        split=plan.split,
        images=len(plan.examples),
        side=plan.dataset.reference_side or "own",
        mode=plan.trained["degradation"]["mode"],
        gen=generation_entry(plan.generation),
        checkpoint=plan.checkpoint,
        precision=plan.precision,
        torch=versions()["torch"],
    )


def _score(plan: Plan, made: CaptionedRun, scorer: CaptionScorer) -> ScoredRun:
    bar = tqdm(made.captions.items(), desc="scores", unit="condition", dynamic_ncols=True)
    found = {name: scorer.statistics(captions) for name, captions in bar}
    available = [metric for metric in scorer.metrics if metric not in scorer.unavailable]  # one may have failed midway
    statistics = {name: Statistics({metric: of_one.rows[metric] for metric in available}) for name, of_one in found.items()}
    protocol = protocol_of(plan, available)
    permuted = scorer.score(shuffle(next(iter(made.captions.values())))) if len(plan.examples) > 1 else {}
    known = _training_words(plan)
    by_condition = {name: of_one.scores() for name, of_one in statistics.items()}
    scores = list(next(iter(by_condition.values())))
    main = headline(scores)
    drops = {} if main is None else relative_drop(by_condition, main)
    rows = [_row(degradation, made, by_condition[degradation.spec], drops, protocol) for degradation in plan.degradations]
    results = {
        "name": plan.folder.resolve().name,
        "protocol": protocol,
        "headline": main,
        "rows": rows,
        "permuted": permuted,
        "area": {score: value for score in scores if (value := area(rows, score)) is not None},
        "embeddings": made.embeddings,
        "health": [health(name, captions, known) for name, captions in made.captions.items()],
        "reference_words_unseen": None if known is None else share_of_unseen(_words(plan.examples), known),
        "cost": made.cost,
        "unavailable": dict(scorer.unavailable),
        "versions": versions(),
        "pixels": made.pixels,
        "origin": plan.origin,
    }
    return ScoredRun(plan, made.captions, results, statistics)


def _row(
    degradation: Degradation, made: CaptionedRun, scores: Mapping[str, float], drops: Mapping[str, float], protocol: str
) -> dict[str, Any]:
    """A condition's row of metrics.json, in the order of the tables."""
    name = degradation.spec
    height, width = made.pixels[name]
    row = {"condition": name, "pixels": f"{width}x{height}", "side": side((height, width)), "family": family(degradation), **scores}
    if name in drops:
        row["drop"] = drops[name]
    row["distinct"] = len(set(made.captions[name]))
    if made.embeddings is not None:
        row["distance"] = made.embeddings["conditions"].get(name, {"distance": 0.0})["distance"]
    return {**row, "signature": sign(protocol, name)}


def sign(protocol: str, condition: str) -> str:
    """What a number at a condition was measured on."""
    return f"{protocol}|condition:{condition}"


def _training_words(plan: Plan) -> set[str] | None:
    """The words of the training captions; None when this dataset has none."""
    return set(_words(plan.dataset.examples("train"))) if "train" in plan.dataset.splits else None


def _words(examples: Sequence[Example]) -> list[str]:
    return [word for example in examples for caption in example.captions for word in tokenize(caption)]
