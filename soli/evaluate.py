"""python -m soli.evaluate run=<run> [overrides]: scores a run's captions at every condition of the ladder; runs=[...] compares."""

from __future__ import annotations

import contextlib
import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

from omegaconf import DictConfig, OmegaConf

from soli.captioned_runs import Plan, digest, find_captions
from soli.compared_runs import check_alike, compare_runs, comparison_rows, cost_rows, groups_of
from soli.configuration import command
from soli.evaluation import CaptionScorer
from soli.evaluation.paper import CAUTION, beside_paper
from soli.evaluation.presets import chosen_metrics
from soli.evaluation.tables import text_table
from soli.evaluation.writing import write_whole
from soli.interfaces import SoliError
from soli.runs import runtime_settings
from soli.scored_runs import ScoredRun, score_found, score_run, table_rows, write_tables


@command("evaluate")
def main(config: DictConfig) -> None:
    if (config.run is None) == (config.runs is None):
        given = "Neither run nor runs is given" if config.run is None else "Both run and runs are given"
        raise SoliError(f"{given}: give run=<folder> to evaluate one run, or runs=[<folder>,<folder>] to compare several.")
    if config.gallery < 0:
        raise SoliError(f"gallery={config.gallery} must be at least 0 (0: no photographs in the report).")
    metrics = chosen_metrics(config.metrics)
    runtime_settings(config)
    warnings.filterwarnings("ignore", message=".* is not reported")  # said below, without a line of code
    if config.run is not None:
        _evaluate_one(Path(config.run), config, metrics)
    else:
        _evaluate_several(OmegaConf.to_container(config.runs), config, metrics)


def _evaluate_one(folder: Path, config: DictConfig, metrics: Sequence[str]) -> None:
    plan = Plan.of(folder, config)
    output = _folder(config.output or plan.folder / "evaluation" / config.split)
    _say_what_is_replaced(plan, output)
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
        _print_paper({plan.folder.name: [scored]})
    report = ", report.html" if config.report else ""
    print(f"Protocol: {results['protocol']}\nThe tables{report}, the scores and the captions are in {output}")


def _evaluate_several(runs: Sequence[str] | Mapping[str, Sequence[str]], config: DictConfig, metrics: Sequence[str]) -> None:
    """Runs that were evaluated in the same way already are taken as they are; the others, and the comparison, go into `output`."""
    given = _flat(runs)
    plans = {run: Plan.of(Path(run), config, "runs") for run in given}
    check_alike(list(plans.values()), metrics)
    groups = groups_of(runs, {run: plan.trained for run, plan in plans.items()})
    shared = _folder(config.output or Path(given[0]).parent / "comparison" / config.split)  # by comparisons of the same runs
    output = shared if config.output else shared / "_vs_".join(groups).replace("/", "_")
    output.mkdir(parents=True, exist_ok=True)
    scored: dict[str, ScoredRun] = {}
    with _scorer(plans[given[0]], metrics) as scorer:
        _check_any(scorer)
        for number, (run, plan) in enumerate(plans.items(), start=1):
            here = shared / f"{plan.folder.resolve().name}_{digest(str(plan.folder.resolve()).encode())[:6]}"
            found = find_captions(plan, plan.folder / "evaluation" / config.split) or find_captions(plan, here)
            print(f"Run {number} of {len(plans)}, {run}: " + ("its evaluation is there already" if found else "evaluating"), flush=True)
            scored[run] = score_found(plan, config, scorer, found) if found else score_run(plan, config, scorer, here)
        unavailable = list(scorer.unavailable.values())
    variants = {name: [scored[run] for run in members] for name, members in groups.items()}
    comparison = compare_runs(variants)
    score = comparison["headline"]
    tables = [comparison_rows(comparison, score), cost_rows(comparison, score)]
    write_whole(output / "comparison.json", json.dumps(comparison, indent=2, allow_nan=False))
    write_tables(output / "comparison", tables, comparison["protocol"])
    print(f"{text_table(tables[0])}\n\n{text_table(tables[1])}")
    for name, members in groups.items() if not isinstance(runs, Mapping) else ():
        if len(members) > 1:
            print(f"{name} is {', '.join(members)}, which differ in nothing but the seed and the like.")
    print("Differences are from the first variant, low to high their 95 % intervals: paired bootstrap over photographs, not over seeds.")
    for sentence in unavailable:
        print(sentence)
    if config.compare == "paper":
        _print_paper(variants)
    print(f"Protocol: {comparison['protocol']}\nThe comparison, with all scores, is in {output}")


def _flat(runs: Sequence[str] | Mapping[str, Sequence[str]]) -> list[str]:
    """All runs. Raises SoliError for a variant without runs, a run given twice, and fewer than two."""
    groups = runs if isinstance(runs, Mapping) else {"runs": runs}
    empty = [name for name, members in groups.items() if not members]
    if empty:
        raise SoliError(f"runs: {', '.join(empty)} has no run. Give at least one for each variant.")
    given = [run for members in groups.values() for run in members]
    folders = [Path(run).resolve() for run in given]
    twice = sorted({run for run, folder in zip(given, folders, strict=True) if folders.count(folder) > 1})
    if twice:
        raise SoliError(f"runs has {', '.join(twice)} more than once: give every run once.")
    if len(given) < 2:
        raise SoliError(f"runs has only {given[0]}: give two at least, or run=<folder> for one.")
    return given


def _check_any(scorer: CaptionScorer) -> None:
    """Raises SoliError when none of the metrics can be computed here."""
    if len(scorer.unavailable) == len(scorer.metrics):
        raise SoliError(f"There would be no score: {' '.join(scorer.unavailable.values())}")


def _say_what_is_replaced(plan: Plan, output: Path) -> None:
    """An evaluation of something else in the folder is named; one that cannot be read is replaced without a word."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        before = json.loads((output / "metrics.json").read_text(encoding="utf-8"))
        if before["origin"] != plan.origin:
            print(f"This replaces the evaluation in {output} ({before['protocol']}); output=<folder> keeps it.")


def _scorer(plan: Plan, metrics: Sequence[str]) -> CaptionScorer:
    return CaptionScorer([list(example.captions) for example in plan.examples], metrics=metrics)


def _folder(output: str | Path) -> Path:
    if Path(output).exists() and not Path(output).is_dir():
        raise SoliError(f"output={output} is a file: give a folder, new or of an earlier evaluation.")
    return Path(output)


def _print_paper(variants: Mapping[str, Sequence[ScoredRun]]) -> None:
    """The paper's figures and ours of the same kind, at the original, as means over seeds."""
    ours = {}
    for name, members in variants.items():
        with _scorer(members[0].plan, ["charBLEU"]) as scorer:
            scores = [scorer.score(scored.captions["original"])["charBLEU-4"] for scored in members]
        ratios = [scored.results["embeddings"]["ratio"] for scored in members]
        ours[name] = {"charBLEU-4": fmean(scores), "ratio": None if None in ratios else fmean(ratios)}
    print(f"{text_table(beside_paper(ours))}\n{CAUTION}")


if __name__ == "__main__":
    main()
