"""The loop with features.cache: to the bit as without it, nothing is encoded twice, and what is kept outlives interruptions."""

from __future__ import annotations

import gc
import signal
from dataclasses import replace

import pytest
import torch

from soli.encoders import TinyEncoder
from soli.interfaces import SoliError
from soli.training.checkpoint import read_progress
from soli.training.settings import FeatureSettings, LoaderSettings, RuntimeSettings
from tests.training.small_runs import (
    PLAIN,
    logged,
    make_matching_model,
    make_recipe,
    matching,
    numbers,
    once,
    run,
    same,
    toy_data,
    variant_phases,
)
from tests.training.test_resume import stop_at
from tests.training.test_step import largest_difference

CASES = {  # variant, anchor, matching
    "vse_plus_plus": ("vse_plus_plus", "shared", "vse_plus_plus"),
    "cmns": ("vse_plus_plus", "shared", "cmns"),
    "con": ("con", "shared", None),  # the encoder trains first
    "par": ("par", "frozen", None),
    "par_matching": ("par_matching", "frozen", "ace"),
    "projector": ("projector", "ema", None),
}


@pytest.fixture(scope="module", autouse=True)
def quick_collections():
    """Accelerate collects garbage at the end of every training, which takes longer than most trainings here."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="module")
def data():
    return toy_data(11)


def make(data, case):
    embedding = {"projector": "linear", "dim": 8} if case == "projector" else {}
    return make_matching_model(data.tokenizer, dropout=0.3, **embedding)


def recipe_of(case, cache=None, dtype="float32", accumulation=1, **changes):
    """TinyEncoder sees the whole of a photograph: without mirroring, its frame is the canonical one."""
    variant, anchor, _ = CASES[case]
    phases = variant_phases("half" if case == "projector" else variant)
    if case == "projector":  # of an encoder that stays as it is
        phases = {name: replace(phase, train={"projector": 1.0}) for name, phase in phases.items()}
    loader = LoaderSettings(batch_size=6, accumulation=accumulation, flip=False)
    features = FeatureSettings(None if cache is None else str(cache), dtype)
    return make_recipe(phases, anchor=anchor, loader=loader, features=features, **changes)


def train_case(case, folder, data, resume=False, model=None, **changes):
    name = CASES[case][2]
    return run(recipe_of(case, **changes), folder, model or make(data, case), data, resume, matching(name) if name else None)


@pytest.fixture(scope="module")
def plain(data, tmp_path_factory):
    """A case without a cache: its folder and its weights."""
    return once(lambda case, folder: train_case(case, folder, data), lambda: tmp_path_factory.mktemp("plain"))


def counting(model):
    """The number of images in every call of the encoder, or of a copy of it, from now on."""
    calls: list[int] = []
    model.encoder.register_forward_hook(lambda _, inputs, __: calls.append(len(inputs[0])))
    return calls


@pytest.mark.parametrize("case", CASES)
def test_the_cache_changes_no_bit(data, plain, tmp_path, case):
    folder, expected = plain(case)
    assert same(train_case(case, tmp_path / "run", data, cache=tmp_path / "cache"), expected)
    assert logged(tmp_path / "run") == logged(folder)
    assert len(list((tmp_path / "cache").glob("*/*.rows"))) == (4 if case in ("con", "projector") else 1)


def test_float16_is_close(data, plain, tmp_path):
    folder, expected = plain("vse_plus_plus")
    found = train_case("vse_plus_plus", tmp_path / "run", data, cache=tmp_path / "cache", dtype="float16")
    assert 0 < largest_difference(found, expected) < 0.05
    losses = [[line["loss"] for line in logged(place, "train")] for place in (folder, tmp_path / "run")]
    assert losses[0] != losses[1] and losses[0] == pytest.approx(losses[1], rel=0.02)


def test_a_second_run_encodes_and_decodes_nothing(data, plain, tmp_path, capsys, monkeypatch):
    _, expected = plain("vse_plus_plus")
    first, second = make(data, "vse_plus_plus"), make(data, "vse_plus_plus")
    calls, later = counting(first), counting(second)
    train_case("vse_plus_plus", tmp_path / "first", data, model=first, cache=tmp_path / "cache")
    assert sum(calls) == 1 + len(data)  # once each, and one to see how large features are
    assert "0 of 11 features are there already" in capsys.readouterr().out
    monkeypatch.setattr("soli.training.loop.batches", lambda *_: pytest.fail("photographs were decoded"))
    assert same(train_case("vse_plus_plus", tmp_path / "second", data, model=second, cache=tmp_path / "cache"), expected)
    assert later == [] and "features are there already" not in capsys.readouterr().out


def test_a_frozen_anchor_encodes_nothing_anew(data, tmp_path):
    """The trained encoder sees both views in one pass; the anchor would see the clean one again."""
    passes = {}
    for cache in (None, tmp_path / "cache", tmp_path / "cache"):
        model = make(data, "par")
        calls = counting(model)
        train_case("par", tmp_path / str(len(passes)), data, model=model, cache=cache)
        passes[len(passes)] = sum(calls)
    seen, measured = 2 * 2 * len(data), len(data)  # two epochs
    assert passes[0] == seen + 2 * len(data) + measured
    assert passes[1] == seen + measured + len(data) + 1
    assert passes[2] == seen + measured


def test_another_encoder_does_not_get_these_features(data, plain, tmp_path, capsys):
    train_case("vse_plus_plus", tmp_path / "first", data, cache=tmp_path / "cache")
    other = make(data, "vse_plus_plus")
    torch.manual_seed(7)
    other.encoder = TinyEncoder(feature_dim=32, input_size=32)
    calls = counting(other)
    capsys.readouterr()
    found = train_case("vse_plus_plus", tmp_path / "second", data, model=other, cache=tmp_path / "cache")
    assert "differ from this encoder's in weights: its own are made anew" in capsys.readouterr().out
    assert sum(calls) == 1 + len(data) and not same(found, plain("vse_plus_plus")[1])
    assert same(train_case("vse_plus_plus", tmp_path / "third", data, cache=tmp_path / "cache"), plain("vse_plus_plus")[1])


@pytest.mark.parametrize(("case", "step"), [("vse_plus_plus", 1), ("cmns", 3), ("con", 6), ("par", 3), ("projector", 2)])
def test_an_interrupted_run_goes_on_with_its_features(data, plain, tmp_path, monkeypatch, case, step):
    """The frozen anchor is no longer the encoder then: it comes from the checkpoint."""
    folder, expected = plain(case)
    with monkeypatch.context() as patches:
        stop_at(patches, step, signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            train_case(case, tmp_path / "run", data, cache=tmp_path / "cache")
    assert read_progress(tmp_path / "run" / "last.safetensors").step == step
    made = {path: path.read_bytes() for path in (tmp_path / "cache").glob("*/*.rows")}
    model = make(data, case)
    calls = counting(model)
    assert same(train_case(case, tmp_path / "run", data, resume=True, model=model, cache=tmp_path / "cache"), expected)
    assert logged(tmp_path / "run") == logged(folder)
    if case != "con":
        assert {path: path.read_bytes() for path in (tmp_path / "cache").glob("*/*.rows")} == made
    assert case not in ("vse_plus_plus", "cmns") or calls == []


def test_drawn_photographs_learn_from_their_features(data, tmp_path, monkeypatch):
    """They are embedded anew where their features are at hand: another training, which a run without a cache cannot go on with."""
    recipe, ends = recipe_of("vse_plus_plus", tmp_path / "cache"), {}
    for name, of_run in (("kept", recipe), ("plain", recipe_of("vse_plus_plus"))):
        ends[name] = run(of_run, tmp_path / name, make(data, "vse_plus_plus"), data, term=matching("ace"))
    assert not same(ends["kept"], ends["plain"])
    with monkeypatch.context() as patches:
        stop_at(patches, 3, signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            run(recipe, tmp_path / "run", make(data, "vse_plus_plus"), data, term=matching("ace"))
    with pytest.raises(SoliError, match="features was float32, is None"):
        run(recipe_of("vse_plus_plus"), tmp_path / "run", make(data, "vse_plus_plus"), data, True, matching("ace"))
    assert same(run(recipe, tmp_path / "run", make(data, "vse_plus_plus"), data, True, matching("ace")), ends["kept"])


def test_a_resumed_run_may_keep_its_features_elsewhere(data, plain, tmp_path, monkeypatch):
    with monkeypatch.context() as patches:
        stop_at(patches, 1, signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            train_case("vse_plus_plus", tmp_path / "run", data, cache=tmp_path / "cache")
    found = train_case("vse_plus_plus", tmp_path / "run", data, resume=True, cache=tmp_path / "elsewhere")
    assert same(found, plain("vse_plus_plus")[1])


def test_a_step_in_parts_equals_the_step_at_once(data, tmp_path):
    ends = []
    for accumulation in (1, 3):
        model = make_matching_model(data.tokenizer)  # no dropout: its draws differ
        changes = {"accumulation": accumulation, "optimizer": PLAIN, "cache": tmp_path / "cache"}
        ends.append(train_case("par_matching", tmp_path / str(accumulation), data, model=model, **changes))
    assert largest_difference(*ends) < 1e-5
    for whole, in_parts in zip(*(logged(tmp_path / place, "train") for place in "13"), strict=True):
        assert numbers(whole) == pytest.approx(numbers(in_parts), abs=1e-4, rel=1e-5)


def test_photographs_are_not_mirrored_where_features_are_kept(data, plain, tmp_path):
    recipe = recipe_of("vse_plus_plus", tmp_path / "cache")
    mirrored = make_recipe(recipe.phases, features=recipe.features, loader=LoaderSettings(batch_size=6, flip=True))
    assert same(run(mirrored, tmp_path / "run", make(data, "vse_plus_plus"), data, term=matching()), plain("vse_plus_plus")[1])


def test_bf16_trains_on_features(data, tmp_path):
    losses = []
    for number, cache in enumerate((None, tmp_path / "cache")):
        changes = {"runtime": RuntimeSettings(precision="bf16", max_steps=2), "cache": cache}
        train_case("vse_plus_plus", tmp_path / str(number), data, model=make_matching_model(data.tokenizer), **changes)
        losses.append([line["loss"] for line in logged(tmp_path / str(number), "train")])
    assert losses[0] == pytest.approx(losses[1], rel=0.02)
