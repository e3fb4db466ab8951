"""Small trainings of every variant, as its yaml has it, on drawn pictures: shared by the tests of the loop."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache

import torch
from omegaconf import OmegaConf

from soli.configuration import compose
from soli.datasets import CaptionedImages, ToyDataset
from soli.decoders import AttentionLSTM
from soli.embedding import Embedding
from soli.encoders import TinyEncoder
from soli.interfaces import Example
from soli.jobs.recipe import make_phase
from soli.losses import ContrastiveLoss, InfoNCELoss, TripletLoss
from soli.matching import Matcher
from soli.model import Captioner
from soli.negatives import Adversarial, Clustered, Hardest, InBatch
from soli.text_encoders import GRUTextEncoder
from soli.training.loop import train
from soli.training.matching import Matching
from soli.training.settings import LoaderSettings, LoggingSettings, MatchingSettings, OptimizerSettings, Recipe, SiameseSettings
from soli.training.siamese import Siamese
from soli.vocabulary import Vocabulary

VARIANTS = ("baseline", "aug", "half", "par", "con")
PLAIN = OptimizerSettings(name="sgd", lr=0.02, schedule="constant", clip_norm=None)  # a difference of gradients stays as large as it is


def toy_data(num_train=20):
    toy = ToyDataset(num_train=num_train, num_val=4, num_test=4)
    vocabulary = Vocabulary.build(caption for example in toy.examples("train") for caption in example.captions)
    return CaptionedImages(toy, "train", vocabulary)


class UnequalCaptions:
    """Toy pictures with one to five captions each."""

    name, reference_side, splits = "unequal", None, ("train",)

    def __init__(self, toy):
        self.toy = toy
        examples = enumerate(toy.examples("train"))
        self.kept = [Example(example.image_id, example.captions[: 1 + number % 5], example.path) for number, example in examples]

    def examples(self, _split):
        return self.kept

    def read_image(self, example):
        return self.toy.read_image(example)

    def fingerprint(self, example):
        return self.toy.fingerprint(example)


def unequal_data(num_train=11):
    toy = ToyDataset(num_train=num_train, num_val=4, num_test=4)
    vocabulary = Vocabulary.build(caption for example in toy.examples("train") for caption in example.captions)
    return CaptionedImages(UnequalCaptions(toy), "train", vocabulary)


def make_model(vocabulary, dropout=0.3, **embedding):
    torch.manual_seed(0)
    encoder = TinyEncoder(feature_dim=32, input_size=32)
    decoder = AttentionLSTM(32, vocabulary.words, 16, 32, 16, dropout=dropout)
    return Captioner(encoder, decoder, vocabulary, projector=Embedding(32, **embedding))


def make_matching_model(vocabulary, dropout=0.0, pooling="mean", **embedding):
    """As `make_model`, with a matcher. `dropout` is that of the decoder and of the text encoder."""
    model = make_model(vocabulary, dropout, **embedding)
    model.matcher = Matcher(32, GRUTextEncoder(vocabulary.words, 16, 24, dropout=dropout), dim=16, pooling=pooling)
    return model


def small_adversarial(**changes):
    return Adversarial(**{"samples": 2, "noise": 0.2, "entropy": 0.1, "lr": 0.05, **changes})


def small_clustered(**changes):
    return Clustered(**{"num_clusters": 4, "length": 3, "virtual": 3, **changes})


def matching(name="vse_plus_plus", negatives=None, **settings):
    """The term of configs/matching/<name>.yaml, with small memories of its own."""
    parts = {
        "vse": (TripletLoss, InBatch),
        "vse_plus_plus": (TripletLoss, Hardest),
        "ace": (TripletLoss, small_adversarial),
        "cmns": (InfoNCELoss, small_clustered),
    }
    loss, its_negatives = parts[name]
    return Matching(loss(), negatives or its_negatives(), MatchingSettings(**settings))


def variant_phases(name, epochs=2, conditions="[original,R0.5S1,R0.2S50,R1S1_GF500]"):
    """The phases of configs/variant/<name>.yaml, with fewer epochs."""
    phases = json.loads(_composed(f"variant={name}", f"degradation.conditions={conditions}"))["variant"]["phases"]
    return {phase: replace(make_phase(content, AttentionLSTM.attention_weight), epochs=epochs) for phase, content in phases.items()}


@cache
def _composed(*overrides):
    """The config, which takes longer than most of the trainings here."""
    return json.dumps(OmegaConf.to_container(compose(overrides), resolve=True))


def make_recipe(variant="par", epochs=2, anchor="shared", **changes):
    defaults = {
        "phases": variant_phases(variant, epochs) if isinstance(variant, str) else variant,
        "siamese": SiameseSettings(anchor, decay=0.9),
        "loader": LoaderSettings(batch_size=8),
        "logging": LoggingSettings(every_steps=1),
        "optimizer": OptimizerSettings(lr=5e-3, warmup_steps=2),
    }
    return Recipe(**{**defaults, **changes})


def siamese(loss=None, negatives=None):
    return Siamese(loss or ContrastiveLoss("auto", relative=True), negatives or InBatch())


def constant_validation(_distance=None):
    return {"CIDEr": 0.5}


def run(recipe, folder, model, data, resume=False, term=None, **parts):
    """Trains `model` into `folder`, and returns its weights. `term` is the matching term, `parts` are those of the contrastive one."""
    folder.mkdir(exist_ok=True)
    if term is not None:
        recipe = replace(recipe, matching=term.settings)
    train(model, data, recipe, folder, constant_validation, resume, siamese(**parts), term)
    return weights(model)


def weights(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(value, second[name]) for name, value in first.items())


def numbers(line):
    return {key: value for key, value in line.items() if not isinstance(value, str)}


def logged(folder, kind=None):
    """The lines of the log, without what depends on the clock."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").open()]
    lines = [{key: value for key, value in line.items() if key != "images_per_second"} for line in lines]
    return [line for line in lines if kind in (None, line["kind"])]


def once(train_case, make_folder):
    """`train_case(case, folder)` of each case when it is first asked for: its folder and its weights."""

    @cache
    def get(case):
        folder = make_folder() / "run"
        return folder, train_case(case, folder)

    return get
