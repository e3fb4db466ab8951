"""Attention maps: that they are the decoder's own attention, put where it belongs in the image."""

import numpy as np
import pytest
import torch
from PIL import Image

from soli.decoders import AttentionLSTM, GPT2Decoder
from soli.encoders import TinyEncoder, ViTEncoder
from soli.evaluation.attention_maps import AttentionMaps, attention_maps, by_word, over_grid
from soli.interfaces import SoliError
from soli.model import Captioner
from soli.vocabulary import Vocabulary

VOCABULARY = Vocabulary(["<pad>", "<start>", "<end>", "<unk>", "a", "red", "ball"])
SIZES = {"hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24, "patch_size": 8}


class Pieces:
    """A tokenizer of pieces of words: a piece that starts with a space begins a word."""

    pieces = ("re", "d", " ba", "ll", " s", "")

    def decode(self, ids):
        return " ".join("".join(self.pieces[index] for index in ids).split())


@pytest.fixture(params=["lstm", "gpt2"])
def captioner(request):
    if request.param == "lstm":
        encoder = TinyEncoder(feature_dim=32, input_size=32)
        return Captioner(encoder, AttentionLSTM(32, VOCABULARY.words, 8, 16, 8), VOCABULARY).eval()
    encoder = ViTEncoder({"model_type": "vit", **SIZES}, input_size=32)
    decoder = GPT2Decoder(24, VOCABULARY.words, {"n_embd": 24, "n_layer": 2, "n_head": 2, "n_positions": 16})
    return Captioner(encoder, decoder, VOCABULARY).eval()


def photograph(seed):
    return np.random.default_rng(seed).integers(0, 256, (40, 32, 3), dtype=np.uint8)


@torch.no_grad()
def test_maps_are_the_attention_of_teacher_forcing(captioner):
    photographs = [photograph(0), photograph(1)]
    found = list(attention_maps(captioner, photographs, "R0.5S1", num_beams=2, max_tokens=6, min_tokens=2))
    captions = captioner.caption(photographs, "R0.5S1", num_beams=2, max_tokens=6, min_tokens=2)
    for maps, caption in zip(found, captions, strict=True):
        assert " ".join(maps.words) == caption and len(maps.words) >= 2
        seen = torch.from_numpy(maps.image).permute(2, 0, 1)[None] / 255
        tokens = torch.tensor([VOCABULARY.encode(caption)])[:, :-2]  # what precedes each word
        side = maps.maps.shape[1]
        expected = captioner.decoder(captioner.encoder(seen), tokens, return_attention=True)[1][0, :, -side * side :]
        np.testing.assert_allclose(maps.maps.reshape(len(maps.words), -1), expected, atol=5e-3)  # the image was rounded to 8 bits
        assert (maps.maps >= 0).all() and (maps.maps.sum((1, 2)) <= 1 + 1e-5).all()
        assert maps.image.shape == (32, 32, 3)


def test_a_word_of_several_tokens_has_their_mean():
    attention = torch.rand(6, 4)
    words, rows = by_word(Pieces(), [0, 1, 2, 3, 4, 5], attention)
    assert words == ("red", "ball", "s")
    torch.testing.assert_close(rows, torch.stack([attention[:2].mean(0), attention[2:4].mean(0), attention[4:].mean(0)]))
    assert by_word(Pieces(), [], attention[:0])[0] == ()


def test_a_grid_is_what_the_positions_end_with():
    attention = torch.arange(2 * 11.0).view(2, 11)
    grid = over_grid(attention)
    assert grid.shape == (2, 3, 3) and torch.equal(grid[1], attention[1, 2:].view(3, 3))
    with pytest.raises(SoliError, match="12 positions, which are no square grid"):
        over_grid(torch.rand(2, 12))


def test_a_figure_shows_bright_where_the_attention_is(tmp_path):
    maps = np.full((2, 2, 2), 0.05, dtype=np.float32)
    maps[0, 0, 0] = maps[1, 1, 1] = 0.85
    found = AttentionMaps(np.full((64, 64, 3), 90, dtype=np.uint8), ("red", "ball"), maps)
    found.draw(tmp_path / "maps.png")
    found.save(tmp_path / "maps.npz")
    panels = np.asarray(Image.open(tmp_path / "maps.png").convert("L"), dtype=float)
    third = panels.shape[1] // 3
    brightness = [panels[60:, third * panel : third * (panel + 1)] for panel in (1, 2)]
    half = [panel.shape[0] // 2 for panel in brightness]
    top, bottom = (panel[:rows, : third // 2].min() for panel, rows in zip(brightness, half, strict=True))
    assert top > bottom  # the first word looks at the upper left corner, the second does not
    arrays = np.load(tmp_path / "maps.npz")
    assert arrays["words"].tolist() == ["red", "ball"] and np.array_equal(arrays["maps"], maps)
