"""Matching in the loop: its loss by hand, parts and processes that add up, memories that resume, and what is refused."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from soli.byte_pairs import BytePairs
from soli.datasets import CaptionedImages, epoch_order
from soli.interfaces import SoliError
from soli.jobs.recipe import check_recipe
from soli.losses import TripletLoss
from soli.negatives import Hardest, RandomPartner
from soli.training.processes import steps_of
from soli.training.settings import LoaderSettings, OptimizerSettings, RuntimeSettings, SpectralSettings, ValidationSettings
from tests.small_captioners import make_byte_pairs
from tests.training.matching_cases import CASES, phases_of, train_case
from tests.training.small_runs import (
    PLAIN,
    UnequalCaptions,
    logged,
    make_matching_model,
    make_model,
    make_recipe,
    matching,
    numbers,
    once,
    run,
    same,
    small_adversarial,
    small_clustered,
    unequal_data,
    variant_phases,
    weights,
)
from tests.training.test_resume import stop_at
from tests.training.test_step import largest_difference

ONE_STEP = {"runtime": RuntimeSettings(max_steps=1), "optimizer": PLAIN, "loader": LoaderSettings(batch_size=6, flip=False)}


@pytest.fixture(scope="module", autouse=True)
def quick_collections():
    """Accelerate collects garbage at the end of every training, which takes longer than most trainings here."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="module")
def data():
    return unequal_data()


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """The folder of a case that was trained at once, and its weights."""
    return once(lambda case, folder: train_case(case, folder, data), lambda: tmp_path_factory.mktemp("whole"))


def phases(views=None, train=None, **changes):
    """Those of variant=vse."""
    views = views or {"clean": ["original"]}
    phase = replace(variant_phases("vse")["matching"], views=views, train=train or {"encoder": 1.0, "matcher": 1.0}, **changes)
    return {"matching": phase}


def similarities(model, data, condition):
    """The photographs of the first step against all their captions, and whose each caption is, as a user would ask for them."""
    examples = [data.examples[index] for index in steps_of(epoch_order(len(data), 0, 0), 6)[0]]
    captions = [caption for example in examples for caption in example.captions]
    owner = [place for place, example in enumerate(examples) for _ in example.captions]
    return model.match([data.dataset.read_image(example) for example in examples], captions, condition).tolist(), owner


def by_hand(scores, owner, combine, siblings):
    """The hinges of every caption and its photograph, with a margin of 0.2, in plain loops."""
    total = 0.0
    for caption, own in enumerate(owner):
        positive, of_image, of_caption = scores[own][caption], [], []
        for other, its_own in enumerate(owner):
            if siblings == "negatives" and other != caption:
                of_image.append(max(0.0, 0.2 - positive + scores[own][other]))
                of_caption.append(max(0.0, 0.2 - positive + scores[its_own][caption]))
            if siblings == "masked" and its_own != own:
                of_image.append(max(0.0, 0.2 - positive + scores[own][other]))
        if siblings == "masked":
            of_caption = [max(0.0, 0.2 - positive + row[caption]) for place, row in enumerate(scores) if place != own]
        total += combine(of_image) + combine(of_caption)
    return total / len(owner)


@pytest.mark.parametrize("siblings", ["masked", "negatives"])
@pytest.mark.parametrize(("name", "combine"), [("vse", sum), ("vse_plus_plus", max)])
def test_the_loss_is_that_of_a_loop_over_photographs_and_captions(data, tmp_path, name, combine, siblings):
    """Both views are matched with the captions: the mean of both."""
    model = make_matching_model(data.tokenizer)
    views = {"clean": ["original"], "degraded": ["R0.2S1"]}
    expected = [by_hand(*similarities(model, data, condition[0]), combine, siblings) for condition in views.values()]
    run(make_recipe(phases(views), **ONE_STEP), tmp_path / "run", model, data, term=matching(name, siblings=siblings))
    assert abs(expected[0] - expected[1]) > 1e-4
    assert logged(tmp_path / "run", "train")[0]["matching"] == pytest.approx(sum(expected) / 2, rel=1e-5)


@pytest.mark.parametrize("chosen", ["clean", "degraded"])
def test_the_views_that_are_named_are_matched(data, tmp_path, chosen):
    views = {"clean": ["original"], "degraded": ["R0.2S1"]}
    model = make_matching_model(data.tokenizer)
    expected = by_hand(*similarities(model, data, views[chosen][0]), max, "masked")
    run(make_recipe(phases(views, matching_views=[chosen]), **ONE_STEP), tmp_path / "run", model, data, term=matching())
    assert logged(tmp_path / "run", "train")[0]["matching"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("accumulation", [2, 3])
@pytest.mark.parametrize("case", CASES)
def test_a_step_in_parts_equals_the_step_at_once(data, whole, tmp_path, case, accumulation):
    folder, expected = whole(case)
    found = train_case(case, tmp_path / "run", data, accumulation=accumulation)
    assert largest_difference(found, expected) < 1e-5
    for alone, in_parts in zip(logged(folder, "train"), logged(tmp_path / "run", "train"), strict=True):
        assert numbers(alone) == pytest.approx(numbers(in_parts), abs=1e-5, rel=1e-5)


def test_two_processes_equal_one(data, whole, tmp_path):
    """Of every case, under torchrun (gloo), memories included: each process keeps its own, and they are the same."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command = [*torchrun, "-m", "tests.training.matching_cases", str(tmp_path)]
    answer = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert answer.returncode == 0, answer.stderr[-3000:]
    for number, case in enumerate(CASES):
        folder, _ = whole(case)
        one, two = (load_file(place / "last.safetensors") for place in (folder, tmp_path / str(number)))
        assert one.keys() == two.keys()
        for name, tensor in one.items():
            within = 1e-3 if name.endswith("form") else 1e-5  # Adam makes steps of 0.05 of gradients that are rounding
            assert (tensor.double() - two[name].double()).abs().max() < within, (case, name)
        for alone, together in zip(logged(folder), logged(tmp_path / str(number)), strict=True):
            assert numbers(alone) == pytest.approx(numbers(together), abs=1e-5, rel=1e-5), case


def test_the_cases_differ_from_each_other(whole):
    """What is compared above depends on the loss, the negatives and the captions that a case names."""
    losses = [tuple(round(line["loss"], 4) for line in logged(whole(case)[0], "train")) for case in CASES]
    assert len(set(losses)) == len(CASES)


ADAM = OptimizerSettings(lr=5e-3, warmup_steps=2)


@pytest.fixture(scope="module")
def uninterrupted(data, tmp_path_factory):
    return once(
        lambda case, folder: train_case(case, folder, data, optimizer=ADAM, anchor="ema"),
        lambda: tmp_path_factory.mktemp("uninterrupted"),
    )


@pytest.mark.parametrize("step", [1, 2, 3])
@pytest.mark.parametrize("case", ["ace", "cmns, one caption", "par_matching"])
def test_a_run_stopped_anywhere_and_resumed_equals_an_uninterrupted_one(data, uninterrupted, tmp_path, monkeypatch, case, step):
    """Of four steps; after the first one queues are still empty."""
    folder, expected = uninterrupted(case)
    with monkeypatch.context() as patches:
        stop_at(patches, step, signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt, match=f"after step {step}"):
            train_case(case, tmp_path / "run", data, optimizer=ADAM, anchor="ema")
    kept = load_file(tmp_path / "run" / "last.safetensors")
    found = train_case(case, tmp_path / "run", data, resume=True, optimizer=ADAM, anchor="ema")
    assert same(found, expected)
    assert same(load_file(tmp_path / "run" / "last.safetensors"), load_file(folder / "last.safetensors"))
    assert logged(tmp_path / "run") == logged(folder)
    assert any(name.startswith("matching_negatives.") for name in kept)


def test_a_run_can_be_stopped_again_and_again(data, uninterrupted, tmp_path, monkeypatch):
    case = "par_matching"
    _, expected = uninterrupted(case)
    for attempt in range(3):
        with monkeypatch.context() as patches:
            stop_at(patches, 1, signal.SIGTERM)
            with pytest.raises(KeyboardInterrupt):
                train_case(case, tmp_path / "run", data, resume=attempt > 0, optimizer=ADAM, anchor="ema")
    assert same(train_case(case, tmp_path / "run", data, resume=True, optimizer=ADAM, anchor="ema"), expected)


def test_memories_are_in_the_checkpoint_of_a_phase_that_goes_on(data, uninterrupted, monkeypatch, tmp_path):
    assert not [name for name in load_file(uninterrupted("par_matching")[0] / "last.safetensors") if "_negatives." in name]
    stop_at(monkeypatch, 3, signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        train_case("par_matching", tmp_path / "stopped", data, optimizer=ADAM, anchor="ema")
    names = load_file(tmp_path / "stopped" / "last.safetensors").keys()
    for direction in ("other", "anchor"):
        for part in ("vectors", "keys", "seen", "form", "counts", "adam.step", "adam.exp_avg", "adam.exp_avg_sq", "mean_reward"):
            assert any(name.startswith(f"siamese_negatives.{direction}") and name.endswith(part) for name in names)
    for view in ("clean", "degraded"):
        for direction in (f"captions for {view}", f"photographs, {view}"):
            for part in ("vectors", "keys", "counts", "ends"):
                assert any(name.startswith(f"matching_negatives.{direction}") and name.endswith(part) for name in names)


def test_a_phase_begins_without_memories(data, tmp_path, monkeypatch):
    """Resumed between two phases or not."""
    both = {"first": phases()["matching"], "second": phases(train={"matcher": 1.0})["matching"]}
    recipe = make_recipe({name: replace(phase, epochs=1) for name, phase in both.items()}, loader=LoaderSettings(batch_size=6))
    expected = run(recipe, tmp_path / "whole", make_matching_model(data.tokenizer), data, term=matching("ace"))
    for step in (2, 3):
        folder = tmp_path / str(step)
        with monkeypatch.context() as patches:
            stop_at(patches, step, signal.SIGTERM)
            with pytest.raises(KeyboardInterrupt):
                run(recipe, folder, make_matching_model(data.tokenizer), data, term=matching("ace"))
        assert same(run(recipe, folder, make_matching_model(data.tokenizer), data, True, matching("ace")), expected)


def test_a_run_is_not_resumed_with_other_matching(data, uninterrupted, tmp_path):
    folder, _ = uninterrupted("ace")
    before = (folder / "last.safetensors").read_bytes()
    recipe = make_recipe(phases_of("ace"), anchor="ema", optimizer=ADAM, loader=LoaderSettings(batch_size=6), spectral=SpectralSettings(2))
    for term, differing in (
        (matching("ace", small_adversarial(samples=3)), r"matching\.negatives\.samples was 2, is 3"),
        (matching("ace", num_captions=1), r"matching\.num_captions was None, is 1"),
        (replace(matching("ace"), loss=TripletLoss(0.3)), r"matching\.loss\.margin was 0\.2, is 0\.3"),
        (matching("ace", siblings="negatives"), r"matching\.siblings was masked, is negatives"),
    ):
        with pytest.raises(SoliError, match=rf"other settings: {differing}\. Restore"):
            run(recipe, folder, make_matching_model(data.tokenizer), data, True, term, negatives=Hardest())
    assert (folder / "last.safetensors").read_bytes() == before


def test_settings_of_several_numbers_are_compared_too(data, tmp_path):
    recipe = make_recipe(phases(), **ONE_STEP)
    run(recipe, tmp_path / "run", make_matching_model(data.tokenizer), data, term=matching("cmns"))
    other = matching("cmns", small_clustered(margins=(0.2, 0.1)))
    with pytest.raises(SoliError, match=r"matching\.negatives\.margins was \[0\.1, 0\.1\], is \[0\.2, 0\.1\]"):
        run(recipe, tmp_path / "run", make_matching_model(data.tokenizer), data, True, other)


@pytest.mark.parametrize("name", ["vse", "vse_plus_plus", "ace", "cmns"])
@pytest.mark.parametrize("pooling", ["mean", "first", "first_and_mean"])
def test_gradients_reach_all_of_the_matcher(data, tmp_path, name, pooling):
    model = make_matching_model(data.tokenizer, pooling=pooling)
    before = weights(model)
    after = run(make_recipe(phases(train={"matcher": 1.0}), **ONE_STEP), tmp_path / "run", model, data, term=matching(name))
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    assert changed == {key for key in before if key.startswith("matcher.")}


def test_gradients_reach_the_encoder_through_the_matcher(data, tmp_path):
    model = make_matching_model(data.tokenizer)
    before = weights(model)
    after = run(make_recipe(phases(train={"encoder": 1.0}), **ONE_STEP), tmp_path / "run", model, data, term=matching())
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    assert changed == {key for key, _ in model.named_parameters() if key.startswith("encoder.")}


def test_dropout_of_the_text_encoder_is_a_function_of_the_step(data, tmp_path):
    ends = [
        run(make_recipe(phases(), **ONE_STEP), tmp_path / str(number), make_matching_model(data.tokenizer, dropout), data, term=matching())
        for number, dropout in enumerate((0.5, 0.5, 0.0))
    ]
    assert same(*ends[:2]) and not same(*ends[1:])


def test_matching_learns(data, tmp_path):
    """Eleven drawn pictures and their captions are told apart."""
    settings = {"optimizer": OptimizerSettings(lr=3e-3, schedule="constant"), "validation": ValidationSettings(every_epochs=40)}
    recipe = make_recipe(phases(epochs=40), loader=LoaderSettings(batch_size=11, flip=False), **settings)
    run(recipe, tmp_path / "run", make_matching_model(data.tokenizer), data, term=matching("vse"))
    losses = [line["matching"] for line in logged(tmp_path / "run", "train")]
    assert losses[0] > 5 and losses[-1] < 0.2 * losses[0]


@pytest.mark.parametrize("wanted", [1, 2])
def test_captions_are_drawn_anew_in_every_epoch(data, tmp_path, monkeypatch, wanted):
    """As many as there are where there are fewer, never one of another photograph, and in time all of them."""
    model, seen = make_matching_model(data.tokenizer), set()
    pad_id, of_photograph = data.tokenizer.pad_id, {tuple(ids): index for index in range(len(data)) for ids in data.token_ids(index)}
    original = model.matcher.captions

    def captions(tokens, is_word):
        rows = [[tuple(int(word) for word in ids if word != pad_id) for ids in row if (ids != pad_id).any()] for row in tokens]
        owners = [{of_photograph[ids] for ids in row} for row in rows]
        assert all(len(owner) == 1 for owner in owners)
        assert [len(set(row)) for row in rows] == [min(wanted, len(data.token_ids(owner.pop()))) for owner in owners]
        seen.update(ids for row in rows for ids in row)
        return original(tokens, is_word)

    monkeypatch.setattr(model.matcher, "captions", captions)
    recipe = make_recipe(phases(epochs=12), loader=LoaderSettings(batch_size=6))
    run(recipe, tmp_path / "run", model, data, term=matching(num_captions=wanted))
    assert len(seen) > 0.8 * len(of_photograph)


def test_byte_pairs_are_matched_too(data, tmp_path):
    """Their padding is no token, and its id is below 0."""
    pieces = BytePairs.load(make_byte_pairs(tmp_path / "tokenizer.json"))
    of_pieces = CaptionedImages(UnequalCaptions(data.dataset.toy), "train", pieces)
    assert pieces.pad_id < 0
    model = make_matching_model(pieces)
    expected = by_hand(*similarities(model, of_pieces, "original"), max, "masked")
    run(make_recipe(phases(), **ONE_STEP), tmp_path / "run", model, of_pieces, term=matching())
    assert logged(tmp_path / "run", "train")[0]["matching"] == pytest.approx(expected, rel=1e-5)


def test_bf16_trains(data, tmp_path):
    losses = []
    for precision in ("fp32", "bf16"):
        recipe = make_recipe("par_matching", anchor="frozen", runtime=RuntimeSettings(precision=precision, max_steps=2))
        run(recipe, tmp_path / precision, make_matching_model(data.tokenizer), data, term=matching("cmns"))
        losses.append([line["matching"] for line in logged(tmp_path / precision, "train")])
    assert losses[0] == pytest.approx(losses[1], rel=0.05)


class Twins(UnequalCaptions):
    """One picture under many names."""

    def read_image(self, example):
        return self.toy.read_image(self.kept[0])


def test_a_step_of_equal_photographs_is_named(data, tmp_path):
    twins = CaptionedImages(Twins(data.dataset.toy), "train", data.tokenizer)
    with pytest.raises(SoliError, match=r"All 6 photographs of a step are the same.*loader\.batch_size"):
        run(make_recipe(phases(), **ONE_STEP), tmp_path / "run", make_matching_model(data.tokenizer), twins, term=matching())


def refused(tmp_path, data, match, recipe, model=None, term=None):
    model = make_matching_model(data.tokenizer) if model is None else model
    with pytest.raises(SoliError, match=match):
        run(recipe, tmp_path / "run", model, data, term=term)
    assert not (tmp_path / "run" / "last.safetensors").exists()


def test_what_cannot_be_matched_is_refused_before_the_first_step(data, tmp_path):
    recipe = make_recipe(phases())
    without = make_recipe(phases(train={"encoder": 1.0}))
    refused(tmp_path, data, r"losses\.matching needs a captioner with a matcher", without, make_model(data.tokenizer), matching())
    refused(tmp_path, data, r"train\.matcher is not known", recipe, make_model(data.tokenizer), matching())
    refused(tmp_path, data, r"phases\.matching has a matching loss: give train a Matching", recipe)
    refused(tmp_path, data, "RandomPartner is for the views", recipe, term=matching("vse", RandomPartner()))
    unknown = make_recipe(phases(matching_views=["dirty"]))
    refused(tmp_path, data, r"matching_views names dirty; the views are clean", unknown, term=matching())
    refused(tmp_path, data, r"matching_views names nothing", make_recipe(phases(matching_views=[])), term=matching())
    one = make_recipe(phases(), loader=LoaderSettings(batch_size=1))
    refused(tmp_path, data, r"loader\.batch_size=1 .* negatives are the other photographs of a step. Give 2 or more", one, term=matching())


def test_a_phase_that_trains_nothing_that_matching_could_move_is_refused(data):
    model = make_matching_model(data.tokenizer)
    both = phases(train={"decoder": 1.0}, losses={"caption": 1.0, "matching": 1.0})
    settings = {"degradation": {"conditions": []}, "loader": {"max_tokens": 40}, "generation": {"max_tokens": 30}}
    with pytest.raises(SoliError, match=r"matching loss, but trains neither the encoder nor a matcher"):
        check_recipe(settings, make_recipe(both), model)


def test_memories_that_the_data_cannot_fill_are_refused(data, tmp_path):
    samples, clusters = matching("ace", small_adversarial(samples=11)), matching("cmns", small_clustered(num_clusters=12))
    refused(tmp_path, data, r"negatives\.samples=11, but there are 11 candidates", make_recipe(phases()), term=samples)
    refused(tmp_path, data, r"negatives\.num_clusters=12, but there are 11 candidates", make_recipe(phases()), term=clusters)


def test_the_contrastive_term_is_untouched_by_matching(data, tmp_path):
    """The first contrastive and caption losses are those of the same phase without matching."""
    losses = []
    (phase,) = variant_phases("par_matching").values()
    for weight in (0.0, 1.0):
        joint = replace(phase, losses={**phase.losses, "matching": weight}, train={"encoder": 1.0, "decoder": 1.0})
        recipe = make_recipe({"joint": joint}, **ONE_STEP)
        run(recipe, tmp_path / str(weight), make_matching_model(data.tokenizer), data, term=matching())
        losses.append(logged(tmp_path / str(weight), "train")[0])
    assert "matching" in losses[1] and "matching" not in losses[0]
    assert [losses[0][name] for name in ("contrastive", "caption")] == [losses[1][name] for name in ("contrastive", "caption")]
