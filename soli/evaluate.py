"""python -m soli.evaluate run=<run> [overrides]: scores a run's captions at every condition of the ladder; runs=[...] compares."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from soli.captioned_runs import Plan, find_captions
from soli.compared_runs import compare_runs, comparison_rows, cost_rows, groups_of
from soli.configuration import command
from soli.evaluation import CaptionScorer
from soli.evaluation.paper import CAUTION, beside_paper
from soli.evaluation.presets import chosen_metrics
from soli.evaluation.tables import latex_table, markdown_table, text_table, write_csv
from soli.interfaces import SoliError
from soli.runs import runtime_settings
from soli.scored_runs import Scored, score_run, shown


@command("evaluate")
def main(config: DictConfig) -> None:
    if (config.run is None) == (config.runs is None):
        raise SoliError("Give run=<folder> to evaluate one run, or runs=[<folder>,<folder>] to compare several.")
    metrics = chosen_metrics(config.metrics)
    runtime_settings(config)
    warnings.filterwarnings("ignore", message=".* is not reported")  # said below, without a line of code
    if config.run is not None:
        _evaluate_one(Path(config.run), config, metrics)
    else:
        _evaluate_several(OmegaConf.to_container(config.runs), config, metrics)


def _evaluate_one(folder: Path, config: DictConfig, metrics: Sequence[str]) -> None:
    plan = Plan.of(folder, config)
    output = _output(plan, config)
    with _scorer(plan, metrics) as scorer:
        scored = score_run(plan, config, scorer, output)
    results = scored.results
    print(text_table(shown(results)))
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
        _print_paper({plan.folder.name: scored})
    report = ", report.html" if config.report else ""
    print(f"Protocol: {results['protocol']}\nThe tables{report}, the scores and the captions are in {output}")


def _evaluate_several(runs: Sequence[str] | Mapping[str, Sequence[str]], config: DictConfig, metrics: Sequence[str]) -> None:
    """Runs that were evaluated in the same way already are taken as they are; the others, and the comparison, go into `output`."""
    given = list(runs) if not isinstance(runs, Mapping) else [run for members in runs.values() for run in members]
    if len(given) < 2:
        raise SoliError(f"runs={given} has {len(given)} of them: give two at least, or run=<folder> for one.")
    plans = {run: Plan.of(Path(run), config, "runs") for run in given}
    groups = groups_of(runs, {run: plan.trained for run, plan in plans.items()})
    output = Path(config.output or Path(given[0]).parent / "comparison" / config.split)
    output.mkdir(parents=True, exist_ok=True)
    first = plans[given[0]]
    scored: dict[str, Scored] = {}
    with _scorer(first, metrics) as scorer:
        for number, (run, plan) in enumerate(plans.items(), start=1):
            folder = output / f"{number}_{plan.folder.resolve().name}"
            if plan.origin["data"] != first.origin["data"]:
                raise SoliError(
                    f"{run} and {given[0]} do not compare: their photographs or captions differ. Give dataset.root and dataset.limit."
                )
            found = find_captions(plan, plan.folder / "evaluation" / config.split) or find_captions(plan, folder)
            print(f"Run {number} of {len(plans)}, {run}: " + ("its evaluation is there already" if found else "evaluating"), flush=True)
            scored[run] = score_run(plan, config, scorer, folder, found)
        if len(scorer.unavailable) == len(metrics):
            raise SoliError(f"There is no score to compare: {' '.join(scorer.unavailable.values())}")
    comparison = compare_runs({name: [scored[run] for run in members] for name, members in groups.items()})
    _write_comparison(output, comparison)
    score = comparison["headline"]
    print(text_table(comparison_rows(comparison, score)))
    print(f"\n{text_table(cost_rows(comparison, score))}")
    print("Differences are from the first variant; intervals and p-values (paired bootstrap over photographs) know nothing of other seeds.")
    if config.compare == "paper":
        _print_paper({name: scored[members[0]] for name, members in groups.items()})
    print(f"Protocol: {comparison['protocol']}\nThe comparison, with all scores, is in {output}")


def _scorer(plan: Plan, metrics: Sequence[str]) -> CaptionScorer:
    return CaptionScorer([list(example.captions) for example in plan.examples], metrics=metrics)


def _output(plan: Plan, config: DictConfig) -> Path:
    output = Path(config.output or plan.folder / "evaluation" / config.split)
    if output.exists() and not output.is_dir():
        raise SoliError(f"output={output} is a file: give a folder, new or of an earlier evaluation.")
    return output


def _write_comparison(output: Path, comparison: Mapping[str, Any]) -> None:
    (output / "comparison.json").write_text(json.dumps(comparison, indent=2, allow_nan=False), encoding="utf-8")
    score, protocol = comparison["headline"], comparison["protocol"]
    rows = comparison_rows(comparison, score)
    write_csv(output / "comparison.csv", [{**row, "signature": f"{protocol}|condition:{row['condition']}"} for row in rows])
    tables = [rows, cost_rows(comparison, score)]
    (output / "comparison.md").write_text("\n".join(markdown_table(table, protocol) for table in tables), encoding="utf-8")
    (output / "comparison.tex").write_text("\n".join(latex_table(table, protocol) for table in tables), encoding="utf-8")


def _print_paper(runs: Mapping[str, Scored]) -> None:
    """The paper's figures and ours of the same kind, at the original."""
    ours = {}
    for name, scored in runs.items():
        captions = scored.captions.get("original")
        if captions is None:
            raise SoliError("compare=paper needs the original among the conditions.")
        with _scorer(scored.plan, ["charBLEU"]) as scorer:
            ours[name] = {**scorer.score(captions), "ratio": (scored.results["embeddings"] or {}).get("ratio")}
    print(f"{text_table(beside_paper(ours))}\n{CAUTION}")


if __name__ == "__main__":
    main()
