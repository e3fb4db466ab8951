"""The paper's table and the sweeps around it, from trainings to tables, at a scale that fits the machine.

    python scripts/reproduce.py scale=toy
    python scripts/reproduce.py scale=cpu dataset.root=data/flickr8k resnet_att_lstm:encoder.weights=DEFAULT \\
        resnet_att_lstm:decoder.glove=data/glove/glove.6B.50d.txt vit_gpt2:encoder.weights=<ViT-Tiny> --tables main weights

For both pairs of encoder and decoder and every seed it trains a captioner on original photographs, and from it every row of the tables
(scripts/reproduction/tables.yaml: baseline, aug, half, par, con; weights, augmentation, margin) for the same number of epochs. Then it
evaluates all rows at the conditions of training, and at some that training did not see, and writes <results>/<pair>_<table>.md and .csv.
Overrides of soli.train hold for all runs, `<pair>:<key>=<value>` for those of one pair, `start:<key>=<value>` for what the rows start from,
`rows:<key>=<value>` for the rows (of one pair `<pair>:rows:<key>=<value>`). What is finished is neither trained nor captioned again, what
was interrupted goes on: the same command once more only writes the tables.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from reproduction.plan import SCALES, Pair, Plan, Training
from reproduction.tables import Comparison, read, write_tables
from soli_commands import check_begun, evaluate_many, run_command, train_many

import soli
from soli.configuration import script
from soli.interfaces import SoliError
from soli.jobs.several_runs import own_folder
from soli.training.leftovers import is_finished


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*", help=f"scale={'|'.join(SCALES)}, and overrides of soli.train, before the options")
    parser.add_argument("--out", type=Path, help="a folder for the runs; runs/reproduce_<scale> if not given")
    parser.add_argument("--results", type=Path, help="a folder for the tables; <out>/results if not given")
    parser.add_argument("--tables", nargs="+", default=["main"], help="of main, weights, augmentation, margin, after the overrides")
    parser.add_argument("--pairs", nargs="+", help="resnet_att_lstm, vit_gpt2 (scale=toy: att_lstm, gpt2); both if not given")
    parser.add_argument("--seeds", nargs="+", type=int, help="those of the scale if not given")
    parser.add_argument("--jobs", type=int, default=1, help="trainings, or evaluations, at a time, on one thread each if there are several")
    parser.add_argument("--dry-run", action="store_true", help="print what would be trained")
    given = parser.parse_intermixed_args()
    if given.jobs < 1:
        raise SoliError(f"--jobs {given.jobs} must be at least 1.")
    scales = [override.removeprefix("scale=") for override in given.overrides if override.startswith("scale=")]
    if len(scales) != 1:
        raise SoliError(f"Give one scale, scale={' or scale='.join(SCALES)}.")
    overrides = [override for override in given.overrides if not override.startswith("scale=")]
    out = given.out or Path("runs") / f"reproduce_{scales[0]}"
    plan = Plan.of(scales[0], out, given.tables, given.pairs, given.seeds, overrides)
    check_trainings(plan.trainings())
    if given.dry_run:
        for training in plan.trainings():
            print(
                "python -m soli.train",
                *training.overrides,
                f"run_dir={training.folder}",
                "# finished" if is_finished(training.folder) else "",
            )
        return
    train_all(plan.trainings(), given.jobs)
    if given.jobs > 1:
        evaluate_all(plan, given.jobs)
    for pair in plan.pairs:
        for table in plan.tables:
            write_table(plan, pair, table, given.results or out / "results")


def check_trainings(trainings: list[Training]) -> None:
    """Raises SoliError for what soli.train would refuse of their settings, and for data that are not there, before the first one begins."""
    for training in trainings:
        check_begun(training.folder, training.overrides)
        pair = training.folder.parent.name
        try:
            config = soli.compose([*training.overrides, f"run_dir={training.folder}"])
        except SoliError as reason:
            raise SoliError(f"{reason} That is of {pair}, whose own keys are given as {pair}:<key>=<value>.") from reason
        for key, path in (("dataset.root", config.dataset.get("root")), ("decoder.glove", config.decoder.get("glove"))):
            if path is not None and not Path(path).expanduser().exists():
                raise SoliError(f"{key}={path}, of {pair}, does not exist: give the path of what you downloaded.")
        if config.epochs < len(config.variant.phases):
            raise SoliError(f"epochs={config.epochs} is too few for {training.folder.name}, each of whose phases needs one. Give more.")


def train_all(trainings: list[Training], jobs: int) -> None:
    """All of them, as many at a time as `jobs` says, none before the one that it starts from."""
    for starts in (True, False):
        train_many([(training.folder, training.overrides) for training in trainings if (training.start is None) == starts], jobs)


def evaluate_all(plan: Plan, jobs: int) -> None:
    """Every run's evaluations, several at a time; the comparisons take those that are of the same weights and settings."""
    evaluations = []
    for pair in plan.pairs:
        for rows, (shared, settings) in ((plan.all_rows(), _seen(plan, pair)), (plan.tables.get("main", ()), _unseen(plan, pair))):
            evaluations += [(run, own_folder(shared, run), settings) for row in rows for run in plan.runs(pair, row)]
    evaluate_many(evaluations, jobs)


def write_table(plan: Plan, pair: Pair, table: str, results: Path) -> None:
    """The comparisons of a table, and the table."""
    rows = plan.tables[table]
    shared, settings = _seen(plan, pair)
    seen = _compare(plan, pair, rows, shared / "_vs_".join(rows), [*settings, *(["compare=paper"] if table == "main" else [])])
    unseen, controls = None, {}
    if table == "main":
        for control in plan.controls:
            beside = [control, *(row for row in rows if row not in (control, rows[0]))]
            controls[control] = _compare(plan, pair, beside, shared / "_vs_".join(beside), settings)
        output, of_unseen = _unseen(plan, pair)
        unseen = _compare(plan, pair, rows, output, [*of_unseen, f"output={output}"])
    results.mkdir(parents=True, exist_ok=True)
    path = results / f"{pair.name}_{table}.md"
    write_tables(path, f"{pair.title}: {table} ({plan.scale} scale)", seen, unseen, controls)
    print(f"The table is in {path}, all of its numbers in {path.with_suffix('.csv')}", flush=True)


def _seen(plan: Plan, pair: Pair) -> tuple[Path, list[str]]:
    """The folder that holds the evaluations of a pair at the conditions of training, and their settings."""
    return plan.out / pair.name / "comparison" / "test", _settings(plan, pair, plan.conditions)


def _unseen(plan: Plan, pair: Pair) -> tuple[Path, list[str]]:
    """The same of the conditions that training did not see."""
    return plan.out / pair.name / "unseen", [*_settings(plan, pair, ("original", *plan.unseen)), "cost=false"]


def _settings(plan: Plan, pair: Pair, conditions: tuple[str, ...]) -> list[str]:
    return [f"conditions=[{','.join(conditions)}]", "report=false", *plan.evaluated(pair)]


def _compare(plan: Plan, pair: Pair, rows: Sequence[str], folder: Path, settings: Sequence[str]) -> Comparison:
    """soli.evaluate of the rows, the first of them what the others are compared with; it writes into `folder`."""
    runs = ",".join(f"{row}:[{','.join(map(repr, map(str, plan.runs(pair, row))))}]" for row in rows)
    run_command("evaluate", f"runs={{{runs}}}", *settings)
    return read(folder)


if __name__ == "__main__":
    script(main, "Interrupted: the same command goes on from here.")
