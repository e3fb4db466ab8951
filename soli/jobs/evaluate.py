"""What soli.evaluate does: captions, or retrieval, of one run are scored at every condition of the ladder; several runs are compared."""

from __future__ import annotations

import contextlib
import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from omegaconf import DictConfig, OmegaConf

from soli.evaluation import CaptionScorer
from soli.evaluation.paper import CAUTION, beside_paper
from soli.evaluation.presets import RETRIEVAL, chosen_metrics
from soli.evaluation.tables import text_table
from soli.evaluation.writing import making, write_whole
from soli.interfaces import SoliError
from soli.jobs.captioned_runs import CaptionedRun, Plan, find_captions
from soli.jobs.compared_runs import compare_runs, comparison_rows, cost_rows
from soli.jobs.next_steps import say_after_comparison, say_after_evaluation
from soli.jobs.retrieved_runs import (
    HEADLINES,
    RankedRun,
    RetrievalPlan,
    compare_retrieval,
    find_ranks,
    score_ranks,
    score_retrieval,
    tables_of_directions,
)
from soli.jobs.same_data import say_of_runs
from soli.jobs.scored_runs import ScoredRun, score_found, score_run, table_rows, write_tables
from soli.jobs.several_runs import Runs, Several, output_folder
from soli.json_text import read_object
from soli.printing import printable
from soli.runs import runtime_settings


def main(config: DictConfig) -> None:
    if (config.run is None) == (config.runs is None):
        given = "Neither run nor runs is given" if config.run is None else "Both run and runs are given"
        raise SoliError(f"{given}: give run=<folder> to evaluate one run, or runs=[<folder>,<folder>] to compare several.")
    if config.gallery < 0:
        raise SoliError(f"gallery={config.gallery} must be at least 0 (0: no photographs in the report).")
    metrics = chosen_metrics(config.metrics)
    if config.fold_size is not None and metrics != RETRIEVAL:
        raise SoliError(f"fold_size={config.fold_size} is for metrics=retrieval: leave it out, or give that.")
    runtime_settings(config)
    warnings.filterwarnings("ignore", message=".* is not reported")  # said below, without a line of code
    try:
        if config.run is not None:
            evaluate_one = _retrieve_one if metrics == RETRIEVAL else _evaluate_one
            evaluate_one(Path(config.run), config, metrics)
        else:
            compare = _retrieve_several if metrics == RETRIEVAL else _evaluate_several
            compare(OmegaConf.to_container(config.runs), config, metrics)
    except KeyboardInterrupt as reason:
        raise KeyboardInterrupt(str(reason) or "Interrupted: the same command goes on from here.") from reason


def _evaluate_one(folder: Path, config: DictConfig, metrics: Sequence[str]) -> None:
    plan = Plan.of(folder, config)
    output = output_folder(config.output or plan.folder / "evaluation" / config.split)
    say_of_runs([plan], config.dataset.limit)
    _say_what_is_replaced(plan, output / "metrics.json")
    with _scorer(plan, metrics) as scorer:
        _check_any(scorer)
        scored = score_run(plan, config, scorer, output)
    results = scored.results
    print(text_table(table_rows(results)))
    embeddings = results["embeddings"]
    if embeddings is not None and embeddings["ratio"] is not None:
        print(
            f"Other photographs lie {embeddings['distance_to_others']:.3f} from the original, "
            f"{embeddings['ratio']:.2f} times as far as its worst copy; "
            f"{100 * embeddings['found']:.0f} % of the photographs are nearer to their worst copy than to any other."
        )
    if results["headline"] in results["area"]:
        print(f"{results['headline']} over the logarithm of pixels: {results['area'][results['headline']]:.3f}")
    for sentence in results["unavailable"].values():
        print(sentence)
    if config.compare == "paper":
        _print_paper(_beside_paper({plan.folder.name: [scored]}))
    report = ", report.html" if config.report else ""
    print(f"Protocol: {printable(results['protocol'])}\nThe tables{report}, the scores and the captions are in {output}")
    say_after_evaluation(plan.folder, plan.trained)


def _retrieve_one(folder: Path, config: DictConfig, metrics: Sequence[str]) -> None:
    plan = RetrievalPlan.of(folder, config)
    output = output_folder(config.output or plan.folder / "evaluation" / config.split)
    say_of_runs([plan], config.dataset.limit)
    _say_what_is_replaced(plan, output / "retrieval.json")
    results = score_retrieval(plan, config, output).results
    print("\n\n".join(text_table(table) for table in tables_of_directions(results)))
    print(f"Protocol: {printable(results['protocol'])}\nThe tables, the scores and the ranks are in {output}")
    say_after_evaluation(plan.folder, plan.trained)


def _evaluate_several(runs: Runs, config: DictConfig, metrics: Sequence[str]) -> None:
    """Runs that were evaluated in the same way already are taken as they are; the others, and the comparison, go into `output`."""
    several = Several.of(runs, config, metrics)
    say_of_runs(several.plans.values(), config.dataset.limit)
    with making(several.output), _scorer(next(iter(several.plans.values())), metrics) as scorer:
        _check_any(scorer)

        def score(plan: Plan, found: CaptionedRun | None, here: Path) -> ScoredRun:
            return score_found(plan, config, scorer, found) if found else score_run(plan, config, scorer, here)

        variants = several.evaluated(find_captions, score)
        unavailable = list(scorer.unavailable.values())
    comparison = compare_runs(variants)
    if config.compare == "paper":
        comparison["paper"] = _beside_paper(variants)
    headline = comparison["headline"]
    tables = [comparison_rows(comparison, headline), cost_rows(comparison, headline)]
    _write_comparison(several.output / "comparison", comparison, tables)
    several.say(runs)
    for sentence in unavailable:
        print(sentence)
    if config.compare == "paper":
        _print_paper(comparison["paper"])
    print(f"Protocol: {printable(comparison['protocol'])}\nThe comparison, with all scores, is in {several.output}")
    say_after_comparison(variants)


def _retrieve_several(runs: Runs, config: DictConfig, metrics: Sequence[str]) -> None:
    """As `_evaluate_several`."""
    several = Several.of(runs, config, metrics, RetrievalPlan)
    say_of_runs(several.plans.values(), config.dataset.limit)

    def score(plan: RetrievalPlan, found: RankedRun | None, here: Path) -> ScoredRun:
        return score_ranks(plan, found) if found else score_retrieval(plan, config, here)

    with making(several.output):
        variants = several.evaluated(find_ranks, score)
        comparison = compare_retrieval(variants)
    _write_comparison(several.output / "retrieval_comparison", comparison, [comparison_rows(comparison, name) for name in HEADLINES])
    several.say(runs)
    print(f"Protocol: {printable(comparison['protocol'])}\nThe comparison, with all scores, is in {several.output}")
    say_after_comparison(variants)


def _write_comparison(path: Path, comparison: Mapping[str, Any], tables: Sequence[Sequence[Mapping[str, Any]]]) -> None:
    """As <path>.json, .csv, .md and .tex, and the tables on the screen."""
    write_whole(path.with_suffix(".json"), json.dumps(comparison, indent=2, allow_nan=False))
    write_tables(path, tables, comparison["protocol"])
    print("\n\n".join(map(text_table, tables)))


def _check_any(scorer: CaptionScorer) -> None:
    """Raises SoliError when none of the metrics can be computed here."""
    if len(scorer.unavailable) == len(scorer.metrics):
        raise SoliError(f"There would be no score: {' '.join(scorer.unavailable.values())}")


def _say_what_is_replaced(plan: Plan, path: Path) -> None:
    """An evaluation of something else at `path` is named; one that cannot be read is replaced without a word."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        before = read_object(path)
        if before["origin"] != plan.origin:
            print(f"This replaces the evaluation in {path.parent} ({printable(before['protocol'])}); output=<folder> keeps it.")


def _scorer(plan: Plan, metrics: Sequence[str]) -> CaptionScorer:
    return CaptionScorer([list(example.captions) for example in plan.examples], metrics=metrics)


def _beside_paper(variants: Mapping[str, Sequence[ScoredRun]]) -> list[dict[str, Any]]:
    """The paper's figures and ours of the same kind, at the original, as means over seeds: rows of a table."""
    ours = {}
    for name, members in variants.items():
        with _scorer(members[0].plan, ["charBLEU"]) as scorer:
            scores = [scorer.score(scored.captions["original"])["charBLEU-4"] for scored in members]
        ratios = [scored.results["embeddings"]["ratio"] for scored in members]
        ours[name] = {"charBLEU-4": fmean(scores), "ratio": None if None in ratios else fmean(ratios)}
    return beside_paper(ours)


def _print_paper(rows: Sequence[Mapping[str, Any]]) -> None:
    print(f"{text_table(rows)}\n{CAUTION}")
