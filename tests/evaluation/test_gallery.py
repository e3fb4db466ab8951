"""The photographs of the report: which are chosen, and that what is shown is what was scored."""

import numpy as np
import pytest

from soli.datasets import CaptionedImages, ToyDataset
from soli.decoders import AttentionLSTM
from soli.degradations import parse
from soli.encoders import TinyEncoder
from soli.evaluation.attention_maps import attention_maps, attention_to
from soli.evaluation.gallery import make_gallery
from soli.model import Captioner
from soli.vocabulary import Vocabulary

CONDITIONS = [parse(name) for name in ("original", "R0.1S50", "R0.05S1")]


@pytest.fixture(scope="module")
def toy():
    data = ToyDataset(num_train=8, num_val=4, num_test=9)
    vocabulary = Vocabulary.build(caption for example in data.examples("train") for caption in example.captions)
    model = Captioner(TinyEncoder(32, 32), AttentionLSTM(32, vocabulary.words, 8, 16, 8), vocabulary)
    return model, CaptionedImages(data, "test", vocabulary)


def gallery(toy, number, each=None):
    model, data = toy
    drops = np.array([0.1, 0.9, -0.5, 0.3, 0.3, 0.8, -0.2, 0.0, 0.5])
    each = each or {"original": np.ones(9), "R0.1S50": 1 - drops + 0.25, "R0.05S1": 1 - drops - 0.25}
    captions = {name: ["a red circle"] * 9 for name in each}
    return make_gallery(model, data, CONDITIONS, captions, each, number)


def test_half_are_the_worst_drops_and_half_the_best(toy):
    names = [example.image_id for example in toy[1].examples]
    entries = gallery(toy, 4)
    assert [entry.image_id for entry in entries] == [names[index] for index in (1, 5, 6, 2)]
    assert [entry.drop for entry in entries] == pytest.approx([0.9, 0.8, -0.2, -0.5])
    assert [entry.image_id for entry in gallery(toy, 3)] == [names[index] for index in (1, 5, 2)]
    assert len(gallery(toy, 50)) == 9 and gallery(toy, 0) == [] and gallery(toy, 3, {"original": np.ones(9)}) == []


def test_a_view_shows_what_the_encoder_saw_and_attention_to_its_caption(toy):
    (entry,) = gallery(toy, 1)
    assert [view.condition for view in entry.views] == ["original", "R0.1S50", "R0.05S1"]
    assert [view.pixels for view in entry.views] == ["96x96", "9x9", "4x4"]
    assert [view.words for view in entry.views] == [("a", "red", "circle"), (), ("a", "red", "circle")]  # of the worst one too
    assert entry.views[0].image.shape == (32, 32, 3) and entry.views[2].maps.shape == (3, 2, 2)
    assert entry.views[0].image.std() > entry.views[2].image.std()
    assert entry.references == toy[1].examples[1].captions


def test_attention_to_a_generated_caption_is_that_while_it_was_generated(toy):
    model, data = toy
    photograph = data.dataset.read_image(data.examples[0])
    (generated,) = attention_maps(model, [photograph], "R0.1S50", num_beams=1, max_tokens=6)
    read = attention_to(model, photograph, "R0.1S50", " ".join(generated.words))
    assert read.words == generated.words and np.allclose(read.maps, generated.maps, atol=1e-6)
    assert (read.image == generated.image).all()
