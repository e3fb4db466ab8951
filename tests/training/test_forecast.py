"""How long a training will still take: by a clock that the tests turn."""

from __future__ import annotations

from dataclasses import replace
from itertools import count

import pytest

from soli.training import loop
from soli.training.forecast import Forecast, duration
from soli.training.settings import Phase, Recipe, RuntimeSettings, ValidationSettings
from tests.training.small_runs import logged, make_model, make_recipe, run, same, toy_data

PHASE = Phase(epochs=1, train={"encoder": 1.0}, losses={"caption": 1.0}, views={"clean": ["original"]})


class Told:
    """A forecast with a clock of its own: `said` holds its sentences."""

    def __init__(self, name="one", phases=("one",), **settings):
        self.now, self.said = 100.0, []
        recipe = Recipe(phases=dict.fromkeys(phases, PHASE), **settings)
        self.forecast = Forecast(name, recipe, self.said.append, lambda: self.now)

    def step(self, *seconds):
        for time in seconds:
            self.now += time
            self.forecast.count_step()


def test_it_speaks_once_of_the_steps_that_are_left_by_the_mean_of_those_measured():
    told = Told()
    told.forecast.begin_epoch(left=1000, done=0)
    told.step(500.0)  # the first step, in which PyTorch prepares itself
    told.step(*[0.3, 0.5] * 4, 0.3)
    assert told.said == []
    told.step(0.5)
    assert told.said == ["one: about 7 min to the end of this run, validations aside"]  # 989 steps of 0.4 s
    told.step(*[9.0] * 50)
    assert len(told.said) == 1


def test_quick_steps_are_measured_for_three_seconds_and_slow_ones_three_times():
    quick, slow = Told(), Told()
    for told in (quick, slow):
        told.forecast.begin_epoch(left=10_000, done=0)
    quick.step(1.0, *[0.0625] * 47)
    assert quick.said == []
    quick.step(0.0625)
    assert quick.said == ["one: about 10 min to the end of this run, validations aside"]  # 9,951 steps
    slow.step(50.0, 30.0, 30.0)
    assert slow.said == []
    slow.step(30.0)
    assert slow.said == ["one: about 3 days 11 h to the end of this run, validations aside"]  # 9,996 steps


def test_what_lies_between_epochs_is_no_step():
    told = Told()
    for epoch in range(6):
        told.now += 1000.0
        told.forecast.begin_epoch(left=600 - epoch, done=epoch)
        told.step(10.0)
    assert told.said == ["one: about 1 h 40 min to the end of this run, validations aside"]  # 597 steps of 10 s after the third measured


@pytest.mark.parametrize(("left", "said"), [(14, 1), (12, 0)])
def test_less_than_a_minute_is_not_worth_a_word(left, said):
    told = Told()
    told.forecast.begin_epoch(left=left, done=0)
    told.step(6.0, 10.0, 6.0, 4.0, 0.0)  # 10 or 8 steps of 20 / 3 s are left after the fourth: 67 and 53 s
    assert len(told.said) == said


@pytest.mark.parametrize(
    ("name", "settings", "sentence"),
    [
        ("one", {}, "one: about 17 min to the end of this phase, validations aside"),
        ("two", {}, "two: about 17 min to the end of this run, validations aside"),
        ("one", {"runtime": RuntimeSettings(max_steps=104)}, "one: about 17 min to the end of this run, validations aside"),
        ("one", {"runtime": RuntimeSettings(max_steps=54)}, "one: about 8 min to the end of this run, validations aside"),
        ("one", {"runtime": RuntimeSettings(max_steps=500)}, "one: about 17 min to the end of this phase, validations aside"),
        ("two", {"validation": ValidationSettings(patience=2)}, "two: at most about 17 min to the end of this run, validations aside"),
    ],
)
def test_it_speaks_of_what_it_can_know(name, settings, sentence):
    told = Told(name, ("one", "two"), **settings)
    told.forecast.begin_epoch(left=104, done=0)
    told.step(*[10.0] * 4)
    assert told.said == [sentence]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (60, "1 min"),
        (89, "1 min"),
        (91, "2 min"),
        (3569, "59 min"),
        (3570, "1 h"),
        (4740, "1 h 20 min"),
        (35_500, "9 h 50 min"),
        (35_900, "10 h"),
        (100_000, "28 h"),
        (47.6 * 3600, "2 days"),
        (53 * 3600, "2 days 5 h"),
    ],
)
def test_durations_are_as_exact_as_they_can_be(seconds, text):
    assert duration(seconds) == text


def test_the_loop_tells_of_each_step_and_nothing_else_changes(tmp_path, monkeypatch, capsys):
    """Stopped after three steps and resumed, by a clock on which a step takes 100 seconds: log and weights are those of a quick run."""
    phases = {"one": replace(PHASE, epochs=4), "two": replace(PHASE, epochs=4, train={"decoder": 1.0})}  # of 8 steps each
    data, recipe = toy_data(16), make_recipe(phases)
    expected = run(recipe, tmp_path / "quick", make_model(data.tokenizer), data)
    assert "validations aside" not in capsys.readouterr().out

    clock = count(step=100.0)
    monkeypatch.setattr(loop, "Forecast", lambda name, recipe, say: Forecast(name, recipe, say, lambda: next(clock)))
    model, folder = make_model(data.tokenizer), tmp_path / "slow"
    run(replace(recipe, runtime=RuntimeSettings(max_steps=3)), folder, model, data)
    assert "validations aside" not in capsys.readouterr().out
    weights = run(recipe, folder, model, data, resume=True)
    assert [line for line in capsys.readouterr().out.splitlines() if "validations aside" in line] == [
        "one: about 2 min to the end of this phase, validations aside",  # one step is left
        "two: about 7 min to the end of this run, validations aside",  # four steps are left
    ]
    assert same(weights, expected)
    for kind in ("train", "epoch"):
        assert logged(folder, kind) == logged(tmp_path / "quick", kind)
