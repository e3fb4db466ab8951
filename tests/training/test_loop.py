"""The loop on drawn pictures: it learns, it resumes to the bit, it stops when it must, and it freezes what a phase does not name."""

import json
import os
import signal
from dataclasses import replace

import pytest
import torch

from soli.datasets import CaptionedImages, ToyDataset
from soli.decoders import AttentionLSTM
from soli.encoders import ResNetEncoder, TinyEncoder
from soli.interfaces import Example, SoliError
from soli.model import Captioner
from soli.training import loop
from soli.training.checkpoint import load_checkpoint, read_progress
from soli.training.loop import train
from soli.training.settings import LoaderSettings, LoggingSettings, OptimizerSettings, Phase, Recipe, RuntimeSettings, ValidationSettings
from soli.vocabulary import Vocabulary


@pytest.fixture(scope="module")
def toy():
    return ToyDataset(num_train=20, num_val=4, num_test=4)


@pytest.fixture(scope="module")
def vocabulary(toy):
    return Vocabulary.build(caption for example in toy.examples("train") for caption in example.captions)


def make_model(vocabulary, dropout=0.3):
    torch.manual_seed(0)
    encoder = TinyEncoder(feature_dim=32, input_size=32)
    return Captioner(encoder, AttentionLSTM(32, vocabulary.words, 16, 32, 16, dropout=dropout), vocabulary)


def make_recipe(**changes):
    train_all, conditions = {"encoder": 1.0, "decoder": 1.0}, ["original", "R0.5S1"]
    phase = Phase(epochs=2, train=train_all, losses={"caption": 1.0, "attention": 1.0}, views={"degraded": conditions})
    defaults = {"phases": {"caption": phase}, "loader": LoaderSettings(batch_size=8), "logging": LoggingSettings(every_steps=1)}
    return Recipe(**{**defaults, **changes})


def constant_validation(_distance=None):
    return {"CIDEr": 0.5}


def weights(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(value, second[name]) for name, value in first.items())


def logged(folder):
    """The lines of the log, without what depends on the clock."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").open()]
    return [{key: value for key, value in line.items() if key != "images_per_second"} for line in lines]


class Interrupted(Exception):
    pass


@pytest.mark.parametrize("steps_before", [1, 2, 3, 4, 5])
def test_a_run_stopped_anywhere_and_resumed_equals_an_uninterrupted_one_to_the_bit(toy, vocabulary, tmp_path, monkeypatch, steps_before):
    data = CaptionedImages(toy, "train", vocabulary)
    whole, parts = make_model(vocabulary), make_model(vocabulary)
    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
    train(whole, data, make_recipe(), tmp_path / "whole", constant_validation)

    real = loop._figures
    calls = iter(range(100))

    def signal_in_the_middle_of_a_step(*arguments):
        if next(calls) == steps_before - 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(*arguments)

    monkeypatch.setattr(loop, "_figures", signal_in_the_middle_of_a_step)
    with pytest.raises(KeyboardInterrupt, match=f"SIGTERM after step {steps_before}"):
        train(parts, data, make_recipe(), tmp_path / "parts", constant_validation)
    monkeypatch.setattr(loop, "_figures", real)
    assert read_progress(tmp_path / "parts" / "last.safetensors").step == steps_before
    resumed = make_model(vocabulary)
    recipe = make_recipe(runtime=RuntimeSettings(workers=2 if steps_before == 2 else 0))
    progress = train(resumed, data, recipe, tmp_path / "parts", constant_validation, resume=True)
    assert progress.finished and progress.step == 6
    assert same(weights(whole), weights(resumed))
    figures = [logged(tmp_path / name) for name in ("whole", "parts")]
    assert figures[0] == figures[1] and len(figures[0]) == 10


def test_a_crash_goes_on_from_the_last_epoch(toy, vocabulary, tmp_path, monkeypatch):
    data, whole, crashed = CaptionedImages(toy, "train", vocabulary), make_model(vocabulary), make_model(vocabulary)
    for name in ("whole", "crashed"):
        (tmp_path / name).mkdir()
    train(whole, data, make_recipe(), tmp_path / "whole", constant_validation)
    real, calls = loop._figures, iter(range(100))

    def crash(*arguments):
        if next(calls) == 4:
            raise Interrupted
        return real(*arguments)

    monkeypatch.setattr(loop, "_figures", crash)
    with pytest.raises(Interrupted):
        train(crashed, data, make_recipe(), tmp_path / "crashed", constant_validation)
    monkeypatch.setattr(loop, "_figures", real)
    resumed = make_model(vocabulary)
    train(resumed, data, make_recipe(), tmp_path / "crashed", constant_validation, resume=True)
    assert same(weights(whole), weights(resumed))


def test_the_number_of_workers_changes_nothing(toy, vocabulary, tmp_path):
    data, results = CaptionedImages(toy, "train", vocabulary), []
    for workers in (0, 2):
        folder = tmp_path / str(workers)
        folder.mkdir()
        model = make_model(vocabulary)
        train(model, data, make_recipe(runtime=RuntimeSettings(workers=workers, max_steps=2)), folder, constant_validation)
        results.append(weights(model))
    assert same(*results)


def test_what_a_phase_does_not_name_stays_to_the_bit(toy, vocabulary, tmp_path):
    torch.manual_seed(0)
    encoder = ResNetEncoder("resnet18", None, stages=1, finetune_from=None, batch_norm="trained", input_size=32)
    model = Captioner(encoder, AttentionLSTM(64, vocabulary.words, 16, 32, 16), vocabulary)
    before = weights(model)
    phase = Phase(epochs=1, train={"decoder": 1.0}, losses={"caption": 1.0})
    train(model, CaptionedImages(toy, "train", vocabulary), make_recipe(phases={"caption": phase}), tmp_path, constant_validation)
    after = weights(model)
    assert all(torch.equal(after[name], before[name]) for name in before if name.startswith("encoder."))
    assert not torch.equal(after["decoder.output.weight"], before["decoder.output.weight"])


def test_phases_follow_each_other(toy, vocabulary, tmp_path):
    model, data = make_model(vocabulary), CaptionedImages(toy, "train", vocabulary)
    first = Phase(epochs=1, train={"encoder": 1.0}, losses={"caption": 1.0})
    second = Phase(epochs=1, train={"decoder": 1.0}, losses={"caption": 1.0})
    decoders = []

    def validate(_distance):
        decoders.append(model.decoder.output.weight.clone())
        return constant_validation()

    start = model.decoder.output.weight.clone()
    progress = train(model, data, make_recipe(phases={"one": first, "two": second}), tmp_path, validate)
    assert progress.phase == 2 and progress.finished and progress.step == 6
    assert torch.equal(decoders[0], start) and not torch.equal(decoders[1], start)


def test_the_best_weights_are_those_of_the_best_validation_and_patience_ends_a_phase(toy, vocabulary, tmp_path):
    model, data = make_model(vocabulary), CaptionedImages(toy, "train", vocabulary)
    scores, seen = iter([0.3, 0.9, 0.2, 0.1, 0.8]), []

    def validate(_distance):
        seen.append(weights(model))
        return {"CIDEr": next(scores)}

    phase = Phase(epochs=9, train={"decoder": 1.0}, losses={"caption": 1.0})
    progress = train(model, data, make_recipe(phases={"caption": phase}, validation=ValidationSettings(patience=2)), tmp_path, validate)
    assert len(seen) == 4 and progress.best_score == 0.9
    best = make_model(vocabulary)
    load_checkpoint(tmp_path / "best.safetensors", best)
    assert same(weights(best), seen[1])


def test_a_loss_that_is_not_finite_stops_the_run_by_name_and_step(toy, vocabulary, tmp_path):
    model, data = make_model(vocabulary), CaptionedImages(toy, "train", vocabulary)
    recipe = make_recipe(optimizer=OptimizerSettings(lr=1e20, clip_norm=None, schedule="constant"))
    with pytest.raises(SoliError, match=r"(caption|attention|loss|gradient norm) is (nan|inf) at step \d"):
        train(model, data, recipe, tmp_path, constant_validation)


def test_weights_that_no_loss_reaches_are_named(toy, vocabulary, tmp_path):
    data = CaptionedImages(toy, "train", vocabulary)
    for train_names in ({"decoder": 1.0}, {"decoder.output": 1.0}):
        recipe = make_recipe(phases={"caption": Phase(epochs=1, train=train_names, losses={"attention": 1.0})})
        with pytest.raises(SoliError, match=r"no loss reaches .*decoder\.output"):
            train(make_model(vocabulary), data, recipe, tmp_path, constant_validation)


def test_a_run_that_ended_at_max_steps_goes_on_with_more(toy, vocabulary, tmp_path):
    data, recipe = CaptionedImages(toy, "train", vocabulary), make_recipe(optimizer=OptimizerSettings(schedule="constant"))
    whole, parts = make_model(vocabulary), make_model(vocabulary)
    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
    train(whole, data, recipe, tmp_path / "whole", constant_validation)
    progress = train(parts, data, replace(recipe, runtime=RuntimeSettings(max_steps=4)), tmp_path / "parts", constant_validation)
    assert progress.step == 4 and not progress.finished
    resumed = make_model(vocabulary)
    assert train(resumed, data, recipe, tmp_path / "parts", constant_validation, resume=True).finished
    assert same(weights(whole), weights(resumed))
    again = make_model(vocabulary)
    assert train(again, data, recipe, tmp_path / "parts", constant_validation, resume=True).step == 6
    assert same(weights(whole), weights(again))


def test_a_metric_that_validation_does_not_give_is_named(toy, vocabulary, tmp_path):
    recipe = make_recipe(validation=ValidationSettings(metric="BLEU-4"), runtime=RuntimeSettings(max_steps=1))
    with pytest.raises(SoliError, match=r"BLEU-4.*CIDEr"):
        train(make_model(vocabulary), CaptionedImages(toy, "train", vocabulary), recipe, tmp_path, constant_validation)


def test_bf16_trains(toy, vocabulary, tmp_path):
    model = make_model(vocabulary)
    recipe = make_recipe(runtime=RuntimeSettings(precision="bf16"), optimizer=OptimizerSettings(lr=5e-3, schedule="constant"))
    train(model, CaptionedImages(toy, "train", vocabulary), recipe, tmp_path, constant_validation)
    losses = [line["caption"] for line in logged(tmp_path) if line["kind"] == "train"]
    assert losses[-1] < losses[0] and all(parameter.dtype == torch.float32 for parameter in model.parameters())


class OneCaptionEach:
    """Eight photographs of a dataset with one caption each."""

    name, reference_side, splits = "eight", None, ("train",)

    def __init__(self, dataset):
        self.dataset = dataset
        self.kept = [Example(example.image_id, example.captions[:1], example.path) for example in dataset.examples("train")[:8]]

    def examples(self, _split):
        return self.kept

    def read_image(self, example):
        return self.dataset.read_image(example)


def overfit(model, data, tmp_path):
    phase = Phase(epochs=150, train={"encoder": 1.0, "decoder": 1.0}, losses={"caption": 1.0})
    recipe = make_recipe(
        phases={"caption": phase},
        optimizer=OptimizerSettings(lr=5e-3, schedule="constant"),
        validation=ValidationSettings(every_epochs=150),
    )
    train(model, data, recipe, tmp_path, constant_validation)
    images = [data.dataset.read_image(example) for example in data.examples]
    expected = [model.tokenizer.decode(model.tokenizer.encode(example.captions[0])) for example in data.examples]
    return model.caption(images, num_beams=1, max_tokens=40), expected


def test_eight_drawn_pictures_are_learnt_by_heart(vocabulary, tmp_path):
    toy = ToyDataset(num_train=20, num_val=4, num_test=4)
    captions, expected = overfit(make_model(vocabulary, dropout=0.0), CaptionedImages(OneCaptionEach(toy), "train", vocabulary), tmp_path)
    assert captions == expected


def test_eight_real_photographs_are_learnt_by_heart(flickr8k_root, weights_root, tmp_path):
    from soli.datasets import Flickr8kDataset

    eight = OneCaptionEach(Flickr8kDataset(root=str(flickr8k_root), limit=8))
    words = Vocabulary.build(caption for example in eight.kept for caption in example.captions)
    weights_file = weights_root / "resnet18-imagenet-stem-to-layer3-bnfolded.pth"
    encoder = ResNetEncoder("resnet18", str(weights_file), stages=3, finetune_from=None, input_size=96)
    model = Captioner(encoder, AttentionLSTM(256, words.words, 50, 64, 64, dropout=0.0), words)
    captions, expected = overfit(model, CaptionedImages(eight, "train", words), tmp_path)
    assert captions == expected
