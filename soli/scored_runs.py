"""From a run's captions to its scores, and to the files that show them: metrics.json, tables, report.html."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from soli.captioned_runs import Captions, Plan, make_captions
from soli.evaluation import CaptionScorer, signature
from soli.evaluation.gallery import make_gallery
from soli.evaluation.presets import headline, measured_as
from soli.evaluation.report import write_report
from soli.evaluation.signature import generation_entry
from soli.evaluation.statistics import Statistics
from soli.evaluation.summary import area, family, health, relative_drop, share_of_unseen, side
from soli.evaluation.tables import latex_table, markdown_table, write_csv
from soli.runs import versions
from soli.tokenization import tokenize
from soli.training.settings import GenerationSettings

INSIDE = ("side", "family", "signature")  # of a row, for programs: not in the tables that people read


@dataclass(frozen=True)
class Scored:
    """A run with its scores: `results` are those of metrics.json, `statistics` by condition are what resamples are made of."""

    plan: Plan
    captions: dict[str, list[str]]
    results: dict[str, Any]
    statistics: dict[str, Statistics]


def score_run(plan: Plan, config: DictConfig, scorer: CaptionScorer, output: Path, found: Captions | None = None) -> Scored:
    """Captions, scores and files of a run, into the folder `output`; captions that were `found` are scored again, and nothing is written.

    What is done is written before what may still fail: the captions before METEOR, the tables before the report.
    """
    if found is not None:
        return _score(plan, found, scorer)
    output.mkdir(parents=True, exist_ok=True)  # now, so that a folder without permission is found before the long work
    made = make_captions(plan, config, output)
    _replace(output / "captions.jsonl", _caption_lines(plan, made))
    scored = _score(plan, made, scorer)
    rows = shown(scored.results)
    protocol = scored.results["protocol"]
    _replace(output / "metrics.json", json.dumps(scored.results, indent=2, allow_nan=False))
    _replace(output / "metrics.md", markdown_table(rows, protocol))
    _replace(output / "metrics.tex", latex_table(rows, protocol))
    write_csv(output / "metrics.csv", [{**row, "signature": f"{protocol}|condition:{row['condition']}"} for row in rows])
    if config.report:
        write_report(output / "report.html", scored.results, _gallery(plan, config, made, scorer))
    return scored


def shown(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows for people: the conditions, and last what the same model scores when every photograph gets another one's caption."""
    rows = [{name: value for name, value in row.items() if name not in INSIDE} for row in results["rows"]]
    if results.get("permuted"):
        rows.append({"condition": f"{rows[0]['condition']}, permuted", **results["permuted"]})
    return rows


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
        gen=generation_entry(GenerationSettings(**plan.generation)),
        checkpoint=plan.checkpoint,
        precision=plan.precision,
        torch=versions()["torch"],
    )


def _score(plan: Plan, made: Captions, scorer: CaptionScorer) -> Scored:
    statistics = {name: scorer.statistics(captions) for name, captions in made.captions.items()}
    first = next(iter(made.captions))
    permuted = scorer.score(shuffle(made.captions[first]))
    protocol = protocol_of(plan, [metric for metric in scorer.metrics if metric not in scorer.unavailable])
    rows = []
    for degradation in plan.degradations:
        name, (height, width) = degradation.spec, made.pixels[degradation.spec]
        about = {"condition": name, "pixels": f"{width}x{height}", "side": side((height, width)), "family": family(degradation)}
        rows.append(about | statistics[name].scores())
    main = headline(list(permuted))
    drops = {} if main is None else relative_drop(rows, main)
    for row in rows:
        name = row["condition"]
        row |= {"drop": drops[name]} if name in drops else {}
        row["distinct"] = len(set(made.captions[name]))
        if made.embeddings is not None:
            row["distance"] = made.embeddings["conditions"].get(name, {"distance": 0.0})["distance"]
        row["signature"] = f"{protocol}|condition:{name}"
    known = _known_words(plan)
    results = {
        "name": plan.folder.resolve().name,
        "protocol": protocol,
        "headline": main,
        "rows": rows,
        "permuted": permuted,
        "area": {score: value for score in permuted if (value := area(rows, score)) is not None},
        "embeddings": made.embeddings,
        "health": [health(name, captions, known) for name, captions in made.captions.items()],
        "reference_words_unseen": None if known is None else _unseen_in_references(plan, known),
        "cost": made.cost,
        "unavailable": dict(scorer.unavailable),
        "versions": versions(),
        "pixels": made.pixels,
        "origin": plan.origin,
    }
    return Scored(plan, made.captions, results, statistics)


def _known_words(plan: Plan) -> Collection[str] | None:
    """The words of the training captions; None when this dataset has none."""
    if "train" not in plan.dataset.splits:
        return None
    return {word for example in plan.dataset.examples("train") for caption in example.captions for word in tokenize(caption)}


def _unseen_in_references(plan: Plan, known: Collection[str]) -> float:
    return share_of_unseen([word for example in plan.examples for caption in example.captions for word in tokenize(caption)], known)


def _gallery(plan: Plan, config: DictConfig, made: Captions, scorer: CaptionScorer) -> list:
    """Empty without the original, to which captions are compared, and without photographs to draw."""
    if "original" not in made.captions or made.model is None or made.data is None:
        return []
    each = {name: scorer.score_each(captions) for name, captions in made.captions.items()}
    options = {name: value for name, value in plan.generation.items() if name != "batch_size"}
    return make_gallery(made.model, made.data, plan.degradations, made.captions, each, config.gallery, **options)


def _caption_lines(plan: Plan, made: Captions) -> str:
    lines = []
    for index, example in enumerate(plan.examples):
        captions = {name: of_condition[index] for name, of_condition in made.captions.items()}
        lines.append(json.dumps({"image": example.image_id, "captions": captions, "references": example.captions}, ensure_ascii=False))
    return "\n".join(lines) + "\n"


def _replace(path: Path, text: str) -> None:
    """Writes a file in one step: a failed or interrupted write leaves the earlier one."""
    partial = path.with_name(f"{path.name}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, path)
    except OSError as reason:
        partial.unlink(missing_ok=True)
        raise OSError(reason.errno, reason.strerror, str(path)) from reason  # a full disk does not say where
