"""The adversarial negatives as a whole: what they remember, what they draw beside the step, and how they continue."""

import math
from random import Random

import pytest
import torch

from soli.interfaces import SoliError
from soli.negatives import Adversarial, Hardest, InBatch
from tests.negatives.scripted_steps import drawn_places, prepared, step


def test_the_memory_holds_the_latest_embeddings_in_their_places():
    negatives, latest = prepared(10, noise=1.0), torch.zeros(10, 4)
    seen = []
    for number, places in enumerate([[3, 8], [0, 3, 9], [8, 1], [3, 0, 4]]):
        latest[places] = torch.randn(len(places), 4)
        seen = sorted({*seen, *places})
        negatives.choose(step(latest[places], places, keys=[100 + place for place in places], draw=number))
        state = negatives.state_dict()
        assert torch.equal(state["other/vectors"], latest) and state["other/seen"].nonzero().flatten().tolist() == seen
        assert state["other/keys"][seen].tolist() == [100 + place for place in seen]


def test_only_what_was_seen_of_other_photographs_is_drawn_and_all_of_it():
    """Places 0 to 11 in three steps, each two of one photograph; 12 and 13 were never seen."""
    negatives, vectors, keys = prepared(14, noise=0.5, samples=2), torch.randn(14, 4), [place // 2 for place in range(14)]
    counts = torch.zeros(14, 14)
    for number in range(300):
        places = [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]][number % 3]
        drawn = drawn_places(negatives, vectors, places, keys=[keys[place] for place in places], draw=number)
        if number >= 3:
            counts[places] += torch.nn.functional.one_hot(drawn, 14).sum(1)
    expected = torch.tensor([[one != other and max(one, other) < 6 for other in keys] for one in keys])
    assert torch.equal(counts > 0, expected)


def test_a_place_that_several_candidates_share_has_the_newest_with_its_own_key():
    """Ten candidates and four places: 1, 5 and 9 are one place, and a photograph's own is masked by the key that lies there now."""
    negatives, vectors = prepared(10, capacity=4, noise=1.0), torch.randn(10, 3)
    negatives.choose(step(vectors[[1, 5, 2, 9, 6]], [1, 5, 2, 9, 6]))
    state = negatives.state_dict()
    assert state["other/vectors"].shape == (4, 3) and state["other/seen"].tolist() == [False, True, True, False]
    assert torch.equal(state["other/vectors"][1:3], vectors[[9, 6]]) and state["other/keys"][1:3].tolist() == [9, 6]
    drawn = [drawn_places(negatives, vectors, [4, 9], draw=number).flatten().tolist() for number in range(40)]
    of_first, of_second = zip(*drawn, strict=True)
    assert set(of_first) == {9, 6} and set(of_second) == {4, 6}


@pytest.mark.parametrize(("in_step", "expected"), [("hardest", Hardest()), ("all", InBatch()), ("none", None)])
def test_the_steps_own_negatives_and_the_drawn_ones_that_count_the_weight_together(in_step, expected):
    negatives, vectors = prepared(6, in_step=in_step, samples=4, weight=0.5), torch.randn(6, 3)
    given = step(vectors, list(range(6)))
    chosen = negatives.choose(given)
    weights = expected.choose(given).weights if expected else torch.zeros(6, 6)
    assert torch.equal(chosen.weights, weights) and torch.equal(chosen.own, torch.ones(6)) and chosen.clusters is None
    assert chosen.outside.shape == (6, 4, 3) and not chosen.outside.requires_grad
    assert torch.allclose(chosen.outside_weights, torch.full((6, 4), 0.125))


def test_while_too_few_candidates_were_seen_there_are_those_of_the_step_alone():
    negatives, vectors = prepared(9, samples=3), torch.randn(9, 3)
    assert negatives.choose(step(vectors[:3], [0, 1, 2])).outside is None
    assert negatives.choose(step(vectors[3:5], [3, 4])).outside.shape == (2, 3, 3)


def test_in_the_first_steps_all_of_the_step_count_and_nothing_drawn_while_the_generator_learns():
    negatives, vectors = prepared(5, warmup_steps=2), torch.randn(5, 3)
    chosen = [negatives.choose(step(vectors, list(range(5)), draw=number)) for number in range(3)]
    assert [one.outside is None for one in chosen] == [True, True, False]
    assert [one.weights.sum().item() for one in chosen] == [20, 20, 5]
    assert negatives.state_dict()["other/adam.step"] == 3


DIRECTIONS = "captions for R0.5S1", "photographs, clean/R0.1"


@pytest.mark.parametrize("baseline", ["none", "moving_average"])
def test_a_state_continues_bit_for_bit(baseline):
    vectors, settings = (
        torch.randn(12, 4),
        {"baseline": baseline, "samples": 2, "noise": 0.2, "lr": 0.05, "every_steps": 2, "warmup_steps": 6},
    )

    def new():
        negatives = Adversarial(**settings)
        negatives.prepare(dict.fromkeys(DIRECTIONS, 12), 100)
        return negatives

    def go(negatives, steps):
        chosen = []
        for number in steps:
            places = Random(number).sample(range(12), 5)
            chosen += [negatives.choose(step(vectors[places] + number, places, draw=number, direction=one)) for one in DIRECTIONS]
        return chosen

    first, again = new(), new()
    go(first, range(5))
    state = {name: value.detach().clone() for name, value in first.state_dict().items()}
    again.load_state_dict(state)
    kept = {name: value.clone() for name, value in state.items()}
    for one, other in zip(go(first, range(5, 12)), go(again, range(5, 12)), strict=True):
        assert torch.equal(one.weights, other.weights) and (one.outside is None) == (other.outside is None)
        assert one.outside is None or torch.equal(one.outside, other.outside)
    states = first.state_dict(), again.state_dict()
    assert states[0].keys() == states[1].keys() and all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    assert all(torch.equal(value, kept[name]) for name, value in state.items())  # what was loaded is no part of it


@pytest.mark.cuda
def test_a_state_from_the_cpu_continues_on_the_gpu():
    first, vectors = prepared(5), torch.randn(5, 3)
    first.choose(step(vectors, list(range(5))))
    again = prepared(5)
    again.load_state_dict({name: value.detach().cpu() for name, value in first.state_dict().items()})
    places = torch.arange(5, device="cuda")
    assert again.choose(step(vectors.cuda(), places, draw=1)).outside.is_cuda


BAD = {
    "samples": [0, -1],
    "noise": [-0.1, 1.1, math.nan],
    "baseline": ["mean", "", None],
    "entropy": [-0.1, math.inf, math.nan],
    "temperature": [0, -1.0, math.inf, math.nan],
    "in_step": ["hard", "", None],
    "warmup_steps": [-1],
    "weight": [0, -1.0, math.inf, math.nan],
    "capacity": [1, 0],
    "lr": [-0.1, math.inf, math.nan],
    "schedule": ["linear", None],
    "every_steps": [0],
}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in BAD.items() for value in values])
def test_values_out_of_range_are_refused(key, value):
    with pytest.raises(SoliError, match=rf"negatives\.{key}={value} must be"):
        Adversarial(**{key: value})


@pytest.mark.parametrize(("number", "settings"), [(3, {"samples": 3}), (100, {"samples": 4, "capacity": 4}), (1, {})])
def test_fewer_candidates_than_samples_are_refused(number, settings):
    with pytest.raises(SoliError, match=r"negatives\.samples=\d, but there are \d candidates.*lower negatives\.samples"):
        prepared(number, **settings)
    prepared(settings.get("samples", 1) + 1, **{**settings, "capacity": 100})


def test_a_memory_that_would_not_fit_is_refused_before_it_is_made():
    with pytest.raises(SoliError, match=r"32768 embeddings of 20000 numbers.*set embedding\.pooling=mean, or .*capacity to 26843"):
        prepared(40_000).choose(step(torch.zeros(2, 20_000), [0, 1]))
    with pytest.raises(SoliError, match=r"40 embeddings of 50000 numbers, and a matrix of 50000 x 50000: set embedding\.pooling=mean\.$"):
        prepared(40).choose(step(torch.zeros(2, 50_000), [0, 1]))
