"""The captioner: the kinds of photographs it takes, and that looking at them changes nothing in it."""

import numpy as np
import pytest
import torch
from PIL import Image

from soli.decoders import AttentionLSTM
from soli.degradations import parse
from soli.encoders import TinyEncoder
from soli.evaluation.attention_maps import attention_maps
from soli.interfaces import SoliError
from soli.model import Captioner
from soli.vocabulary import Vocabulary


@pytest.fixture
def captioner():
    vocabulary = Vocabulary.build(["one two three four five six seven"])
    model = Captioner(TinyEncoder(32, 32), AttentionLSTM(32, vocabulary.words, 8, 16, 8), vocabulary)
    for parameter in model.decoder.parameters():
        torch.nn.init.normal_(parameter)
    return model


@pytest.fixture
def photographs():
    generator, sizes = np.random.default_rng(0), ((60, 90), (90, 60), (200, 150), (33, 33), (60, 90))
    return [generator.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]


def test_files_images_and_arrays_of_a_photograph_get_one_caption(captioner, photographs, tmp_path):
    image = Image.fromarray(photographs[0])
    image.save(tmp_path / "photograph.png")
    captions = captioner.caption([photographs[0], image, tmp_path / "photograph.png", str(tmp_path / "photograph.png")])
    assert len(captions) == 4 and len(set(captions)) == 1 and captions[0]


def test_the_batch_size_and_the_order_change_no_caption(captioner, photographs):
    together = captioner.caption(photographs, batch_size=5)
    assert captioner.caption(photographs, batch_size=2) == together
    assert captioner.caption(photographs[::-1]) == together[::-1]


def test_embeddings_are_the_features_averaged_over_the_grid(captioner, photographs):
    inputs = captioner.render([torch.from_numpy(photographs[2]).permute(2, 0, 1)], [parse("R0.2S1")])
    expected = captioner.eval().encoder(inputs).mean(1)
    torch.testing.assert_close(captioner.embed([photographs[2]], condition="R0.2S1"), expected, atol=1e-5, rtol=1e-5)
    assert captioner.embed(photographs).shape == (5, 32)


def test_dropout_is_off_while_captioning_and_every_mode_is_put_back(captioner, photographs):
    captioner.train()
    captioner.decoder.dropout.eval()
    modes = [module.training for module in captioner.modules()]
    assert captioner.caption(photographs) == captioner.caption(photographs)
    assert [module.training for module in captioner.modules()] == modes


def test_a_condition_changes_what_is_seen(captioner, photographs):
    assert not torch.allclose(captioner.embed(photographs[:1]), captioner.embed(photographs[:1], condition="R0.1S1"), atol=1e-3)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ("photograph.jpg", "list"),
        ([], "empty"),
        ([np.zeros((4, 4), np.uint8)], "uint8 array"),
        ([torch.zeros(3, 4, 4)], "Tensor"),
        (["nowhere.jpg"], "nowhere.jpg"),
    ],
)
def test_what_is_no_list_of_photographs_is_refused(captioner, images, message):
    with pytest.raises(SoliError, match=message):
        captioner.caption(images)


def test_a_decoder_of_another_vocabulary_is_refused(captioner):
    with pytest.raises(SoliError, match="tokenizer has 5"):
        Captioner(captioner.encoder, captioner.decoder, Vocabulary.build(["one"]))


def test_options_that_are_not_given_are_those_of_the_captioner(captioner, photographs):
    short = captioner.caption(photographs, num_beams=1, max_tokens=2)
    captioner.generation = {"num_beams": 1, "max_tokens": 2}
    try:
        assert captioner.caption(photographs) == short
        assert captioner.caption(photographs, None, 3) != short or captioner.caption(photographs, max_tokens=9) != short
        assert [" ".join(maps.words) for maps in attention_maps(captioner, photographs)] == short
    finally:
        captioner.generation = {}


def test_an_option_that_does_not_exist_is_named_with_the_nearest_one(captioner, photographs):
    with pytest.raises(SoliError, match="beams is no option of generation .did you mean num_beams"):
        captioner.caption(photographs, beams=3)


def test_a_single_photograph_is_no_list(captioner, photographs):
    for single in (photographs[0], "a.jpg"):
        with pytest.raises(SoliError, match="Give a list"):
            captioner.caption(single)
        with pytest.raises(SoliError, match="Give a list"):
            next(attention_maps(captioner, single))
