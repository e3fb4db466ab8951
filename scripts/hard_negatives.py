"""Which negatives a matching of photographs and captions learns most from: the same budget for each, several seeds, tables and curves.

    python scripts/hard_negatives.py experiment=flickr8k/vit_tiny_matching dataset.root=data/flickr8k encoder.weights=<folder> \\
        features.cache=runs/features --out runs/negatives --seeds 0 1 2

Trains `<out>/<matching>_<seed>` for every choice and seed, as many at a time as --jobs says; those that are finished are not trained again,
those that were interrupted go on. Then `<out>/test/` has retrieval_comparison.* of the test split (soli.evaluate), and `<out>/curves.csv`
and `curves.png` the sum of recalls on the validation split against steps.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev

from matplotlib import pyplot
from omegaconf import OmegaConf
from soli_commands import run_command, train_many

import soli
from soli.configuration import script
from soli.degradations import parse
from soli.interfaces import SoliError
from soli.runs import matches

CHOICES = ("random", "vse", "vse_plus_plus", "ace", "cmns")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="a folder for the runs, the tables and the curves")
    parser.add_argument(
        "--matching", nargs="+", default=list(CHOICES), help="choices of the group matching; name:key=value,... sets some of it"
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=1, help="trainings at a time, on one thread each if there are several")
    parser.add_argument("--conditions", nargs="+", default=["original"], help="of the evaluation")
    parser.add_argument("overrides", nargs="*", help="of soli.train, for all runs, before the options")
    given = parser.parse_args()
    groups = {choice: [given.out / f"{_label(choice)}_{seed}" for seed in given.seeds] for choice in given.matching}
    for name, values in (("matching", given.matching), ("seeds", given.seeds)):
        if len(set(values)) < len(values):
            raise SoliError(f"--{name} {' '.join(map(str, values))} has one twice: give each once.")
    if given.jobs < 1:
        raise SoliError(f"--jobs {given.jobs} must be at least 1.")
    if not matches(OmegaConf.to_container(soli.compose(given.overrides), resolve=True)):
        raise SoliError("These settings match no photographs and captions: give variant=matching, or an experiment that has it.")
    for choice in given.matching:
        soli.compose([*given.overrides, *_overrides(choice)])
    for condition in given.conditions:
        parse(condition)
    if given.out.exists() and not given.out.is_dir():
        raise SoliError(f"--out {given.out} is a file: give a folder for the runs, the tables and the curves.")
    train_many([_training(choice, seed, given) for seed in given.seeds for choice in given.matching], given.jobs)
    curves = {_label(choice): read_curve(runs) for choice, runs in groups.items()}
    write_curves(curves, given.out)
    variants = ",".join(f"{_label(choice)}:[{','.join(map(str, runs))}]" for choice, runs in groups.items())
    conditions = f"conditions=[{','.join(given.conditions)}]"
    run_command("evaluate", f"runs={{{variants}}}", "metrics=retrieval", conditions, f"output={given.out / 'test'}")


def _training(choice: str, seed: int, given: argparse.Namespace) -> tuple[Path, list[str]]:
    """A run's folder and overrides."""
    return given.out / f"{_label(choice)}_{seed}", [*given.overrides, *_overrides(choice), f"seed={seed}"]


def read_curve(runs: Sequence[Path]) -> dict[int, list[float]]:
    """The sum of recalls on the validation split by step, of every run."""
    curve: dict[int, list[float]] = {}
    for run in runs:
        for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines():
            entry = json.loads(line)
            if entry["kind"] == "validation":
                curve.setdefault(entry["step"], []).append(entry["rsum"])
    return curve


def write_curves(curves: dict[str, dict[int, list[float]]], out: Path) -> None:
    """curves.csv and curves.png: mean over seeds, and one standard deviation to both sides."""
    with open(out / "curves.csv", "w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["matching", "step", "rsum_mean", "rsum_std", "seeds"])
        for name, curve in curves.items():
            table.writerows([name, step, round(fmean(sums), 4), round(_spread(sums), 4), len(sums)] for step, sums in curve.items())
    figure, axes = pyplot.subplots(figsize=(7, 4.5), layout="constrained")
    for name, curve in curves.items():
        means, spreads = [fmean(sums) for sums in curve.values()], [_spread(sums) for sums in curve.values()]
        (line,) = axes.plot(list(curve), means, marker="o", markersize=3, label=name)
        low, high = ([mean + sign * spread for mean, spread in zip(means, spreads, strict=True)] for sign in (-1, 1))
        axes.fill_between(list(curve), low, high, color=line.get_color(), alpha=0.15, linewidth=0)
    axes.set(xlabel="step", ylabel="sum of recalls, of 6, validation split", title="Mean and standard deviation over seeds")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(out / "curves.png", dpi=120)
    print(f"The curves are in {out / 'curves.csv'} and curves.png")


def _overrides(choice: str) -> list[str]:
    """What a choice, name:key=value,..., sets."""
    name, _, settings = choice.partition(":")
    return [f"matching={name}", *(f"matching.{setting}" for setting in settings.split(",") if setting)]


def _label(choice: str) -> str:
    """A choice as the name of a folder and in a list of runs."""
    return re.sub(r"[^\w.-]+", "_", choice)


def _spread(values: Sequence[float]) -> float:
    return stdev(values) if len(values) > 1 else 0.0


if __name__ == "__main__":
    script(main)
