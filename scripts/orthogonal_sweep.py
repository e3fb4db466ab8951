"""An orthogonal search over soli.train's settings: main effects of many factors from few trainings, round by round in smaller ranges.

    python scripts/orthogonal_sweep.py experiment=toy_par optimizer.lr=log:1e-4..3e-3 variant.phases.joint.losses.contrastive=log:1..30 \\
        contrastive.margin=0.5..8 negatives=[in_batch,hardest] --out runs/sweep --rounds 2 --seeds 0 1

Factors are `key=low..high`, `key=log:low..high` and `key=[a,b]` or `[a,b,c]`; every other override of soli.train holds for all runs, and so
does a list that soli.train takes as it is (to try lists, write a list of lists). A round cuts each range into two intervals, three with
--levels 3, takes the middle of each, and trains the runs of the smallest orthogonal array that holds the factors: 8 runs for up to 7, 12
for 11, 16 for 15 (of one or two factors the grid, of three 4 runs with --runs 4); of three levels 9 for 4, 18 for 7, 27 for 13. The value
with the best mean score is kept, and its interval is the range of the next round. Each round writes <out>/round<n>.csv, and effects.csv,
effects.md and effects.png anew. What is trained is not trained again, what was interrupted goes on: the same command once more, also with
more --rounds.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from orthogonal.drawing import draw_effects
from orthogonal.factors import Choice, Factor, read_factors
from orthogonal.record import Record
from orthogonal.runs import Runs
from orthogonal.search import Outcome, Round, search
from orthogonal.tables import write_tables
from soli_commands import train_many

import soli
from soli.configuration import script
from soli.interfaces import SoliError
from soli.training.leftovers import is_finished

OURS = {"seed": "--seeds", "run_dir": "--out", "resume": "--out"}


def main() -> None:
    given = _parser().parse_args()
    check(given)
    factors, overrides = read_factors(given.overrides)
    num_levels = given.levels or max((len(factor.choices) for factor in factors if isinstance(factor, Choice)), default=2)
    check_factors(factors, num_levels)
    runs = Runs(given.out, tuple(overrides), tuple(given.seeds), given.score)
    record = Record(given.out, *command(given, num_levels))
    for row in Round.of(1, factors, num_levels, given.runs).rows:
        soli.compose(runs.settings(row, given.seeds[0]))  # a mistake in any of them is found before the first is trained
    outcomes: list[Outcome] = []
    scored = partial(show if given.dry_run else run, runs=runs, record=record, jobs=given.jobs)
    for outcome in search(factors, num_levels, given.rounds, scored, given.runs, given.lowest):
        outcomes.append(outcome)
        if not given.dry_run:
            write_tables(runs, outcomes)
            draw_effects(outcomes, given.out / "effects.png", runs.score_name)
        say(outcome)
    if not given.dry_run:
        conclude(runs, outcomes, given.lowest)
        if len(outcomes) < given.rounds:
            print(f"After {len(outcomes)} of {given.rounds} rounds no factor has two values left to try.")


def run(of_round: Round, runs: Runs, record: Record, jobs: int) -> list[list[float]]:
    """Trains a round, from where it is. Returns the scores."""
    record.remember(of_round)
    announce(of_round, runs)
    train_many(runs.trainings(of_round), jobs)
    scores = runs.scores(of_round)
    record.scored()
    return scores


def show(of_round: Round, runs: Runs, **_: object) -> list[list[float]] | None:
    """Prints what a round would train. Returns the scores, if it was trained."""
    announce(of_round, runs)
    for folder, settings in runs.trainings(of_round):
        print("soli.train", shlex.join([*settings, f"run_dir={folder}"]), "# finished" if is_finished(folder) else "")
    return runs.scores(of_round) if all(is_finished(folder) for folder, _ in runs.trainings(of_round)) else None


def announce(of_round: Round, runs: Runs) -> None:
    """The ranges of a round, and what they cost."""
    trainings, grid = len(runs.trainings(of_round)), of_round.grid * len(runs.seeds)
    print(f"Round {of_round.number}: {' '.join(map(str, of_round.factors))}\n{trainings} trainings, where a grid takes {grid}", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="+", help="factors, and overrides of soli.train for all runs, before the options")
    parser.add_argument("--out", type=Path, required=True, help="a folder for the runs, the tables and the chart")
    parser.add_argument("--levels", type=int, choices=(2, 3), help="values of a range in a round; if not given 2, 3 where a list has three")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--runs", type=int, help="a larger array than the smallest: main effects are mixed with fewer interactions")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], help="each run is trained with each of them, its score is their mean")
    parser.add_argument("--score", help="of a validation in metrics.jsonl, as CIDEr/R0.1S50; else the one that selects the best weights")
    parser.add_argument("--lowest", action="store_true", help="low scores are good")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at a time, on one thread each if there are several")
    parser.add_argument("--dry-run", action="store_true", help="print what would be trained, and write nothing")
    return parser


def check(given: argparse.Namespace) -> None:
    """Raises SoliError for options out of range, and overrides that options stand for."""
    for name in ("jobs", "rounds"):
        if getattr(given, name) < 1:
            raise SoliError(f"--{name} {getattr(given, name)} must be at least 1.")
    if len(set(given.seeds)) < len(given.seeds):
        raise SoliError(f"--seeds {' '.join(map(str, given.seeds))}: give each once.")
    for override in given.overrides:
        if override.partition("=")[0] in OURS:
            raise SoliError(f"{override}: give {OURS[override.partition('=')[0]]} instead.")


def check_factors(factors: Sequence[Factor], num_levels: int) -> None:
    """Raises SoliError where there is none, and for one that has not enough values."""
    if not factors:
        raise SoliError("There is no factor: give one at least, as optimizer.lr=log:1e-4..3e-3 or negatives=[in_batch,hardest].")
    for factor in factors:
        if len(set(factor.values(num_levels))) == 1:
            raise SoliError(f"{factor} leaves one value: widen the range.")
        if isinstance(factor, Choice) and len(factor.choices) > num_levels:
            raise SoliError(f"{factor} has {len(factor.choices)} values: give --levels {len(factor.choices)}.")


def command(given: argparse.Namespace, num_levels: int) -> tuple[dict[str, str], dict[str, str]]:
    """What must be the same for a search to go on: what is trained, and what its scores are."""
    settings = dict(override.partition("=")[::2] for override in given.overrides)
    trained = {"--levels": str(num_levels), "--runs": str(given.runs), "--seeds": " ".join(map(str, given.seeds))}
    return settings | trained, {"--score": str(given.score), "--lowest": str(given.lowest)}


def say(outcome: Outcome) -> None:
    """The main effects of a round, the strongest first, and its best values."""
    for effect in sorted(outcome.effects, key=lambda effect: -effect.share):
        means = ", ".join(f"{value}: {mean:.3f}" for value, mean in effect.means.items())
        print(f"  {effect.key}: {means} ({100 * effect.share:.0f} % of the variance)")
    print(f"Best of round {outcome.round.number} by main effects, expected at {outcome.predicted:.3f}: {_words(outcome.best)}", flush=True)


def conclude(runs: Runs, outcomes: Sequence[Outcome], lowest: bool) -> None:
    """The best run of all rounds, the best combination by main effects, and the command to type next."""
    top = (min if lowest else max)(outcomes, key=lambda outcome: outcome.means[outcome.best_run])
    best_row, last = top.round.rows[top.best_run], outcomes[-1]
    singles = [str(runs.folder(top.round, best_row, seed)) for seed in runs.seeds]
    print(f"Best single run, {top.means[top.best_run]:.3f}: {singles[0]} with {_words(best_row)}")
    trained = len({folder for outcome in outcomes for folder, _ in runs.trainings(outcome.round)})
    grid = sum(outcome.round.grid for outcome in outcomes) * len(runs.seeds)
    print(f"{trained} runs were trained, a grid would have taken {grid}. The effects are in {runs.out / 'effects.md'}, .csv and .png.")
    if last.best not in last.round.rows:
        print(f"The best combination was not among the runs.\nNext: python -m soli.train {shlex.join(next_settings(runs, last.best))}")
        return
    folders = [str(runs.folder(last.round, last.best, seed)) for seed in runs.seeds]
    print(f"The best combination is {folders[0]}, {last.means[last.round.rows.index(last.best)]:.3f}.")
    if folders != singles:  # side by side on the test split
        compared = f"runs={{combination:[{','.join(folders)}],single:[{','.join(singles)}]}}"
    else:
        compared = f"runs=[{','.join(folders)}]" if len(folders) > 1 else f"run={folders[0]}"
    print(f"Next: python -m soli.evaluate {shlex.quote(compared)}")


def next_settings(runs: Runs, best: Mapping[str, str]) -> list[str]:
    """The arguments of soli.train that train the best values with all seeds."""
    *settings, seed = runs.settings(best, runs.seeds[0])
    if len(runs.seeds) == 1:
        return [*settings, seed, f"run_dir={runs.out / 'best'}"]
    return ["--multirun", *settings, f"seed={','.join(map(str, runs.seeds))}", f"run_dir={runs.out / 'best'}_${{seed}}"]


def _words(values: Mapping[str, str]) -> str:
    return " ".join(f"{key}={value}" for key, value in values.items())


if __name__ == "__main__":
    script(main, "Interrupted: the same command goes on from here.")
