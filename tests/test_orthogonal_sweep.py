"""scripts/orthogonal_sweep.py: its arrays are orthogonal, its effects those of the full grid, its rounds close in on the best setting."""

import csv
import importlib
import itertools
import json
import math
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.linalg import hadamard

import soli
from soli.interfaces import SoliError
from tests.test_commands import SMALL, run  # noqa: F401 - a fixture

SCRIPTS = Path(__file__).parents[1] / "scripts"
SIZES = [(2, 2, 1), (2, 4, 3), (2, 8, 7), (2, 12, 11), (2, 16, 15), (3, 3, 1), (3, 9, 4), (3, 18, 7), (3, 27, 13)]  # levels, runs, factors


@pytest.fixture
def scripts(monkeypatch):
    """Imports the script and its parts, which lie outside the package, by name."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    before = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if name.split(".")[0] in ("orthogonal_sweep", "orthogonal", "soli_commands"):
            del sys.modules[name]


def is_even(array, levels):
    """Whether all combinations of levels of these columns come equally often."""
    counts = Counter(map(tuple, array.tolist()))
    return len(counts) == levels ** array.shape[1] and len(set(counts.values())) == 1


@pytest.mark.parametrize(("levels", "num_runs", "most"), SIZES)
def test_every_two_columns_have_every_pair_of_levels_equally_often(scripts, levels, num_runs, most):
    arrays = scripts("orthogonal.arrays")
    array = arrays.design(most, levels, num_runs)
    assert array.shape == (num_runs, most) and arrays.sizes(levels)[num_runs] == most
    assert all(is_even(array[:, [column]], levels) for column in range(most))
    assert all(is_even(array[:, pair], levels) for pair in itertools.combinations(range(most), 2))
    assert np.array_equal(arrays.design(1, levels, num_runs), array[:, :1])


@pytest.mark.parametrize("num_runs", [2, 4, 8, 16])
def test_arrays_of_two_levels_are_scipys_hadamard_matrices_with_columns_in_another_order(scripts, num_runs):
    array = scripts("orthogonal.arrays").design(num_runs - 1, 2, num_runs)
    assert sorted(map(tuple, (1 - 2 * array).T)) == sorted(map(tuple, hadamard(num_runs)[:, 1:].T))


def test_twelve_runs_are_a_hadamard_matrix(scripts):
    array = scripts("orthogonal.arrays").design(11, 2)
    matrix = np.column_stack([np.ones(12, int), 1 - 2 * array])
    assert np.array_equal(matrix @ matrix.T, 12 * np.eye(12))


@pytest.mark.parametrize(("num_runs", "most"), [(9, 4), (27, 13)])
def test_words_of_the_codes_of_three_levels_have_one_distance(scripts, num_runs, most):
    array = scripts("orthogonal.arrays").design(most, 3)
    distances = {int((first != second).sum()) for first, second in itertools.combinations(array, 2)}
    assert distances == {num_runs // 3}  # of the simplex code over GF(3)


@pytest.mark.parametrize(("levels", "num_runs", "clear"), [(2, 8, 4), (2, 16, 8), (3, 27, 4)])
def test_the_first_columns_are_not_mixed_with_pairs_of_others(scripts, levels, num_runs, clear):
    array = scripts("orthogonal.arrays").design(clear, levels, num_runs)
    assert all(is_even(array[:, three], levels) for three in itertools.combinations(range(clear), 3))


def test_the_smallest_array_that_holds_the_factors_is_chosen(scripts):
    design = scripts("orthogonal.arrays").design
    assert [len(design(factors, 2)) for factors in (1, 2, 3, 4, 7, 8, 11, 12, 15)] == [2, 4, 8, 8, 8, 12, 12, 16, 16]
    assert [len(design(factors, 3)) for factors in (1, 2, 4, 5, 7, 8, 13)] == [3, 9, 9, 18, 18, 27, 27]
    for arguments, message in (
        ((16, 2), "hold 1 to 15"),
        ((14, 3), "hold 1 to 13"),
        ((4, 2, 4), "take 8, 12, 16 runs"),
        ((2, 4), "levels"),
    ):
        with pytest.raises(SoliError, match=message):
            design(*arguments)


@pytest.mark.parametrize(("levels", "num_factors"), [(2, 3), (2, 7), (2, 10), (3, 4), (3, 7)])
def test_of_an_additive_score_effects_and_best_combination_are_those_of_the_full_grid(scripts, levels, num_factors):
    generator = np.random.default_rng(levels * num_factors)
    tables = generator.normal(size=(num_factors, levels))
    places = np.arange(num_factors)
    grid = np.array(list(itertools.product(range(levels), repeat=num_factors)))
    scores_of_grid = tables[places, grid].sum(axis=1)

    choice, search = scripts("orthogonal.factors").Choice, scripts("orthogonal.search").search
    factors = [choice(f"f{place}", tuple(map(str, range(levels)))) for place in range(num_factors)]
    score = lambda of_round: [[tables[places, list(levels)].sum()] for levels in of_round.levels]  # noqa: E731
    (outcome,) = search(factors, levels, 1, score)
    for place, effect in enumerate(outcome.effects):
        for level in range(levels):
            of_level = scores_of_grid[grid[:, place] == level].mean() - scores_of_grid.mean()
            assert effect.means[str(level)] - np.mean(outcome.means) == pytest.approx(of_level, abs=1e-12)
    best = grid[scores_of_grid.argmax()]
    assert [outcome.best[f"f{place}"] for place in places] == list(map(str, best))
    assert outcome.predicted == pytest.approx(scores_of_grid.max(), abs=1e-12)
    assert sum(effect.share for effect in outcome.effects) == pytest.approx(1, abs=1e-12)
    assert outcome.round.grid == len(grid) and outcome.best_run == int(np.argmax(outcome.means))


@pytest.mark.parametrize(("levels", "choices"), [(2, 2), (3, 3), (3, 2)])  # the last: one value at two levels
def test_shares_of_the_variance_are_those_of_a_regression_on_each_factor(scripts, levels, choices):
    factors = [scripts("orthogonal.factors").Choice(f"f{place}", tuple("abc"[:choices])) for place in range(4)]
    of_round = scripts("orthogonal.search").Round.of(1, factors, levels)
    rows = of_round.rows
    scores = np.random.default_rng(levels + choices).normal(size=len(rows))
    effects = scripts("orthogonal.effects").main_effects(rows, scores.tolist(), of_round.values)
    for effect in effects:
        indicators = np.array([[row[effect.key] == value for value in "abc"[:choices]] for row in rows], float)
        rest = scores - indicators @ np.linalg.lstsq(indicators, scores, rcond=None)[0]
        assert effect.share == pytest.approx(1 - rest.var() / scores.var(), abs=1e-12)
        assert list(effect.means) == list("abc"[:choices])  # in their order
        assert effect.spread == max(effect.means.values()) - min(effect.means.values())
    assert sum(effect.share for effect in effects) <= 1 + 1e-12
    assert {effect.share for effect in scripts("orthogonal.effects").main_effects(rows, [0.5] * len(rows), of_round.values)} == {0}


@pytest.mark.parametrize("levels", [2, 3])
@pytest.mark.parametrize("lowest", [False, True])
def test_rounds_close_in_on_the_best_setting(scripts, levels, lowest):
    factors = scripts("orthogonal.factors")
    best = {"linear": -0.35, "log": 7e-4, "whole": 23}
    space = [factors.Range("linear", -2, 1), factors.Range("log", 1e-5, 1e-1, True), factors.Range("whole", 1, 40, whole=True)]

    def distance(row):
        log = math.log10(float(row["log"]) / best["log"])
        return (float(row["linear"]) - best["linear"]) ** 2 + log**2 + (float(row["whole"]) - best["whole"]) ** 2 / 100

    score = lambda of_round: [[distance(row) if lowest else -distance(row)] for row in of_round.rows]  # noqa: E731
    outcomes = list(scripts("orthogonal.search").search(space, levels, 9, score, lowest=lowest))
    assert [outcome.round.number for outcome in outcomes] == list(range(1, 10))
    for outcome in outcomes:
        for factor in outcome.round.factors:
            assert factor.whole or factor.low <= best[factor.key] <= factor.high
            if factor.key == "linear":
                assert factor.high - factor.low == pytest.approx(3 / levels ** (outcome.round.number - 1))
            if factor.key == "log":
                assert factor.high / factor.low == pytest.approx(1e4 ** (1 / levels ** (outcome.round.number - 1)))
    assert abs(int(outcomes[-1].best["whole"]) - 23) <= 1 and outcomes[-1].round.decided.keys() == {"whole"}  # 22 and 24 are equally good
    assert float(outcomes[-1].best["linear"]) == pytest.approx(-0.35, abs=3 / levels**9)


def test_values_are_the_middles_of_intervals(scripts):
    factors = scripts("orthogonal.factors")
    assert factors.parse_factor("margin=0.5..8").values(2) == ("2.375", "6.125")
    assert factors.parse_factor("lr=log:1e-4..1e-2").values(2) == ("0.000316228", "0.00316228")
    assert factors.parse_factor("x=-3..3").values(3) == ("-2", "0", "2")
    assert factors.Range("n", 1, 8, whole=True).values(2) == ("3", "6")
    assert factors.parse_factor("c=[[a,b],'x,y',{k: [1,2]}]").values(3) == ("[a,b]", "'x,y'", "{k: [1,2]}")
    assert factors.Choice("c", ("a", "b")).values(3) == ("a", "b", "a")
    assert [factors.parse_factor(text) for text in ("dataset.root=../data", "a=b", "a=1", "a=x..y")] == [None] * 4


def test_a_search_ends_where_nothing_is_left_to_try(scripts):
    factors = scripts("orthogonal.factors")
    space = [factors.Choice("kind", ("a", "b")), factors.Range("n", 1, 4, whole=True)]
    score = lambda of_round: [[float(row["n"]) + (row["kind"] == "b")] for row in of_round.rows]  # noqa: E731
    outcomes = list(scripts("orthogonal.search").search(space, 2, 9, score))
    assert outcomes[-1].best == {"kind": "b", "n": "4"} and len(outcomes) < 9
    assert outcomes[1].round.decided == {"kind": "b"} and len(outcomes[1].round.rows) == 2


def test_what_is_a_factor_and_what_holds_for_all_runs(scripts):
    given = ["epochs=2", "validation.conditions=[original,R0.2S1]", "negatives=[in_batch,hardest]", "loader.batch_size=4..9"]
    factors, overrides = scripts("orthogonal.factors").read_factors(given)
    assert [(str(factor), getattr(factor, "whole", None)) for factor in factors] == [(given[2], None), (given[3], True)]
    assert overrides == given[:2]
    with pytest.raises(SoliError, match=r"optimizer\.lr"):
        scripts("orthogonal.factors").read_factors(["optimizer.lrr=1..2"])


@pytest.fixture
def sweep(scripts, monkeypatch, tmp_path, capsys):
    """Calls the script with a score computed from the settings in place of trainings. Returns the folders that were trained."""
    script, runs = scripts("orthogonal_sweep"), scripts("orthogonal.runs")
    monkeypatch.setattr(soli, "compose", lambda overrides: refuse(overrides))
    finished = {}

    def refuse(overrides):
        if any(override.startswith("kind=[") for override in overrides):
            raise SoliError("no list")

    def train_many(trainings, jobs):
        for folder, settings in trainings:
            folder.mkdir(parents=True, exist_ok=True)
            values = dict(setting.split("=") for setting in settings)
            score = -((float(values["x"]) - 3.2) ** 2) + math.log10(float(values["lr"])) + 2 * (values["kind"] == "b")
            finished.setdefault(folder, score + 0.01 * int(values["seed"]))

    monkeypatch.setattr(script, "train_many", train_many)
    monkeypatch.setattr(script, "is_finished", lambda folder: folder in finished)
    monkeypatch.setattr(runs, "read_score", lambda folder, score: {"None": finished[folder]}[str(score)])
    monkeypatch.setattr(runs, "training_minutes", lambda folder: 1.5)
    draw = script.draw_effects
    monkeypatch.setattr(script, "draw_effects", lambda *drawn: draw(*drawn) if call.draws else None)  # which takes a second

    def call(*arguments, out=tmp_path / "out"):
        before = set(finished)
        size = [] if "--runs" in arguments else ["--runs", "4"]
        monkeypatch.setattr(sys, "argv", ["orthogonal_sweep.py", *map(str, arguments), *size, "--out", str(out)])
        script.main()
        return [folder for folder in finished if folder not in before], capsys.readouterr().out

    call.out, call.draws = tmp_path / "out", False
    return call


FACTORS = ("fixed=1", "x=0..4", "lr=log:1e-4..1e-2", "kind=[a,b]")


def test_a_search_of_two_rounds_its_tables_and_its_chart(sweep):
    sweep.draws = True
    trained, text = sweep(*FACTORS, "--rounds", 2, "--seeds", 0, 1)
    assert [folder.relative_to(sweep.out).as_posix() for folder in trained] == [
        f"round{number}/run{place}_seed{seed}" for number in (1, 2) for seed in (0, 1) for place in range(1, 5)
    ]
    rows = list(csv.DictReader((sweep.out / "round1.csv").open()))
    assert [row["x"] for row in rows] == ["1.0", "3.0", "1.0", "3.0"] and {row["training minutes"] for row in rows} == {"3.0"}
    assert all(float(row["score"]) == pytest.approx(float(row["score of seed 0"]) + 0.005) for row in rows)
    effects = list(csv.DictReader((sweep.out / "effects.csv").open()))
    means = {(row["round"], row["factor"], row["value"]): float(row["mean score"]) for row in effects}
    assert means["1", "x", "3.0"] - means["1", "x", "1.0"] == pytest.approx(4.8)
    assert means["1", "kind", "b"] - means["1", "kind", "a"] == pytest.approx(2)
    assert {row["value"] for row in effects if (row["round"], row["factor"]) == ("2", "x")} == {"2.5", "3.5"}
    report = (sweep.out / "effects.md").read_text()
    assert "| x | 3 | 4.800 | 82.2 % |" in report and "standard deviation over seeds 0.007" in report
    with Image.open(sweep.out / "effects.png") as chart:
        assert chart.width > 800
    assert "16 runs were trained, a grid would have taken 24." in text and "Round 2: x=2..4 lr=log:0.001..0.01" in text
    seeds = ",".join(f"{sweep.out}/round2/run4_seed{seed}" for seed in (0, 1))
    assert (
        f"Best single run, -0.335: {sweep.out}/round2/run4_seed0 with" in text and f"Next: python -m soli.evaluate 'runs=[{seeds}]'" in text
    )


def test_the_same_command_goes_on_and_another_one_is_refused(sweep):
    assert len(sweep(*FACTORS)[0]) == 4
    assert sweep(*FACTORS)[0] == []
    assert len(sweep(*FACTORS, "--rounds", 2)[0]) == 4
    kept = (sweep.out / "sweep.json").read_bytes()
    for arguments, message in (
        (["fixed=2", *FACTORS[1:]], "another search: fixed was 1, is 2. Give"),
        ([*FACTORS[:-1]], r"kind was \[a,b\], is absent"),
        ([*FACTORS, "--seeds", "1"], "--seeds was 0, is 1"),
        ([*FACTORS, "--score", "CIDEr"], "--score was None, is CIDEr"),
        ([*FACTORS, "--runs", "8"], "--runs was 4, is 8"),
    ):
        with pytest.raises(SoliError, match=message):
            sweep(*arguments)
    assert (sweep.out / "sweep.json").read_bytes() == kept


def test_a_score_that_no_run_has_can_be_mended(sweep):
    with pytest.raises(KeyError):
        sweep(*FACTORS, "--score", "CIDR")
    assert len(list(sweep.out.glob("round1/*"))) == 4
    trained, text = sweep(*FACTORS)
    assert not trained and "Best of round 1" in text
    with pytest.raises(SoliError, match="--score was None, is CIDEr"):
        sweep(*FACTORS, "--score", "CIDEr")


@pytest.mark.parametrize("jobs", [1, 2])
def test_after_a_training_that_fails_none_is_begun(scripts, monkeypatch, jobs, capsys):
    commands, begun = scripts("soli_commands"), []

    def train(folder, overrides, threads):
        begun.append((folder, threads))
        if folder == "bad":
            raise SoliError("soli.train failed")

    monkeypatch.setattr(commands, "train", train)
    commands.train_many([("a", []), ("b", [])], jobs)
    assert sorted(begun) == [("a", 1 if jobs > 1 else None), ("b", 1 if jobs > 1 else None)]
    assert "2 of 2 runs are trained" in capsys.readouterr().out
    begun.clear()
    with pytest.raises(SoliError, match="soli.train failed"):
        commands.train_many([("good", []), ("bad", []), *[("later", [])] * 20], 1)
    assert [folder for folder, _ in begun] == ["good", "bad"]


def test_a_round_that_had_begun_with_other_ranges_is_not_mixed_with_new_scores(sweep):
    sweep(*FACTORS, "--rounds", 2)
    record = json.loads((sweep.out / "sweep.json").read_text())
    record["rounds"][1][0] = "x=0..2"
    (sweep.out / "sweep.json").write_text(json.dumps(record))
    with pytest.raises(SoliError, match=r"Round 2 had begun with x=0\.\.2 .* now lead to x=2\.\.4"):
        sweep(*FACTORS, "--rounds", 2)
    (sweep.out / "sweep.json").write_text("{")
    with pytest.raises(SoliError, match="sweep.json is damaged"):
        sweep(*FACTORS)
    (sweep.out / "sweep.json").unlink()
    with pytest.raises(SoliError, match="holds round1, but no sweep.json"):
        sweep(*FACTORS)


def test_a_dry_run_prints_the_first_round_that_is_not_trained_and_writes_nothing(sweep):
    trained, text = sweep(*FACTORS, "--dry-run", "--rounds", 2)
    assert not trained and not sweep.out.exists() and text.count("soli.train fixed=1 x=") == 4
    sweep(*FACTORS)
    trained, text = sweep(*FACTORS, "--dry-run", "--rounds", 2)
    assert not trained and text.count("# finished") == 4 and "round2/run4_seed0" in text


def test_the_command_of_a_combination_that_was_not_trained(sweep):
    _, text = sweep(*FACTORS, "--seeds", 0, 1)  # second, second, second, of which the four runs have an even number
    best = "fixed=1 x=3 lr=0.00316228 kind=b"
    assert f"Next: python -m soli.train --multirun {best} seed=0,1 'run_dir={sweep.out}/best_${{seed}}'" in text
    _, text = sweep(*FACTORS, "--lowest", out=sweep.out / "lowest")
    assert f"The best combination is {sweep.out}/lowest/round1/run1_seed0" in text and "Next: python -m soli.evaluate" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a=1"], "There is no factor"),
        (["x=4..0"], "first number must be below"),
        (["lr=log:0..1"], "begins above 0"),
        (["lr=log:a..b"], "write a logarithmic range as lr=log:1e-4"),
        (["kind=[a,b,c]", "--levels", "2"], "give --levels 3"),
        (["kind=[a,b,c,d]"], "two or three different choices"),
        (["kind=[a,a]"], "two or three different choices"),
        (["x=0..1", "x=2"], "x is given 2 times"),
        (["x=0..1", "seed=1"], "give --seeds instead"),
        (["x=0..1", "run_dir=a"], "give --out instead"),
        (["x=0..1", "--seeds", "1", "1"], "give each once"),
        (["x=0..1", "--rounds", "0"], "--rounds 0 must be at least 1"),
        (["x=0..1", "y=0..1", "--runs", "6"], "take 4, 8, 12, 16 runs"),
        (["x=0.1..0.10000000001"], "leaves one value"),
    ],
)
def test_mistakes_are_found_before_anything_is_trained(sweep, arguments, message):
    with pytest.raises(SoliError, match=message):
        sweep(*arguments)
    assert not sweep.out.exists()


def test_a_search_with_real_trainings(scripts, run, monkeypatch, tmp_path):  # noqa: F811
    script, commands = scripts("orthogonal_sweep"), []

    def run_command(command, *overrides, log=None):
        commands.append(overrides)
        answer = run(command, *overrides, "runtime.threads=1")
        assert answer.code == 0, answer.err

    monkeypatch.setattr(scripts("soli_commands"), "run_command", run_command)
    arguments = [
        *SMALL,
        "dataset.num_train=8",
        "dataset.num_val=4",
        "dataset.num_test=4",
        "validation.every_epochs=1",
        "optimizer.lr=log:1e-3..1e-1",
        "--out",
        str(tmp_path),
        "--score",
        "ROUGE-L/R0.1S50",
    ]
    monkeypatch.setattr(sys, "argv", ["orthogonal_sweep.py", *arguments])
    script.main()
    assert [override for overrides in commands for override in overrides if override.startswith("optimizer.lr")] == [
        "optimizer.lr=0.00316228",
        "optimizer.lr=0.0316228",
    ]
    read_score = scripts("orthogonal.runs").read_score
    for number, row in enumerate(csv.DictReader((tmp_path / "round1.csv").open()), start=1):
        folder = tmp_path / "round1" / f"run{number}_seed0"
        validations = [entry for entry in map(json.loads, (folder / "metrics.jsonl").open()) if entry["kind"] == "validation"]
        best = max(validations, key=lambda entry: entry["CIDEr"])
        assert float(row["score"]) == best["ROUGE-L/R0.1S50"] and read_score(folder) == best["CIDEr"]
        assert float(row["training minutes"]) > 0
    with pytest.raises(SoliError, match="did you mean CIDEr"):
        read_score(folder, "CIDr")
