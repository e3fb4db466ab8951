"""The retrieval ladder: what it ranks is what the captioner alone would compare, also after an interruption."""

import pytest
import torch

from soli.datasets import CaptionedImages, ToyDataset
from soli.degradations import parse
from soli.evaluation import rank_metrics
from soli.evaluation.journal import Journal
from soli.evaluation.ladder import match_ladder
from soli.evaluation.retrieval_folds import fold_metrics, owners
from soli.interfaces import SoliError
from tests.evaluation.small_matchers import make_matching_captioner
from tests.evaluation.test_journal import FailingJournal, PulledPlug, same

NAMES = ["original", "R0.1S50", "R0.05S1"]
CONDITIONS = [parse(name) for name in NAMES]


@pytest.fixture(scope="module")
def toy():
    return ToyDataset(num_train=8, num_val=4, num_test=11)


@pytest.fixture(scope="module")
def model(toy):
    return make_matching_captioner(toy)


@pytest.fixture
def data(toy, model):
    return CaptionedImages(toy, "test", model.tokenizer)


def test_every_rung_ranks_as_the_captioner_alone(toy, model, data):
    model.train()
    rungs = match_ladder(model, data, CONDITIONS, batch_size=3, progress=False)
    assert not model.training
    images = [toy.read_image(example) for example in toy.examples("test")]
    captions = [caption for example in toy.examples("test") for caption in example.captions]
    owner, places = owners([example.captions for example in toy.examples("test")]), model.joint_captions(captions)
    scores = []
    for rung, name in zip(rungs, NAMES, strict=True):
        assert rung.condition == name and rung.captions == [] and rung.embeddings.shape == (11, 16)
        scores.append(fold_metrics(rung.embeddings, places, owner))
        assert scores[-1] == rank_metrics(model.match(images, captions, name), owner)
    assert scores[0] != scores[1] != scores[2]  # what is seen matters
    assert [rung.pixels for rung in rungs] == [(96, 96), (9, 9), (4, 4)]


def test_every_photograph_is_decoded_once(model, data, monkeypatch):
    read, calls = type(data.dataset).read_image, []
    monkeypatch.setattr(type(data.dataset), "read_image", lambda self, example: calls.append(example.image_id) or read(self, example))
    match_ladder(model, data, CONDITIONS, batch_size=4, progress=False)
    assert calls == [example.image_id for example in data.examples]


@pytest.mark.parametrize("batches", [1, 2, 3])
def test_it_goes_on_after_the_last_batch(model, data, tmp_path, batches):
    path, origin = tmp_path / "unfinished.jsonl", {"weights": "a"}
    work = {"batch_size": 4, "progress": False}
    with pytest.raises(PulledPlug):
        match_ladder(model, data, CONDITIONS, journal=FailingJournal(path, origin, batches), **work)
    assert len(path.read_text().splitlines()) == 1 + batches
    whole = match_ladder(model, data, CONDITIONS, **work)
    resumed = match_ladder(model, data, CONDITIONS, journal=Journal(path, origin), **work)
    assert same(resumed, whole) and all(torch.equal(one.embeddings, other.embeddings) for one, other in zip(resumed, whole, strict=True))


def test_a_captioner_that_does_not_match_is_refused(model, data):
    matcher, model.matcher = model.matcher, None
    try:
        with pytest.raises(SoliError, match="not trained to match"):
            match_ladder(model, data, CONDITIONS, progress=False)
    finally:
        model.matcher = matcher
