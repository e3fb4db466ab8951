"""Text encoders against torch's own GRU and transformer, run caption by caption without padding, and against their contract."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor, nn

from soli.interfaces import SoliError
from soli.text_encoders import GRUTextEncoder, TransformerTextEncoder

CONFIGS = Path(__file__).parents[2] / "configs" / "text_encoder"
WORDS = ("<pad>", "<start>", "<end>", "<unk>", *(f"word{index}" for index in range(16)))
LENGTHS = (5, 2, 7, 3, 7, 1)  # as many rows of one length as of others; 1: a caption cut to its start
GRUS = [
    {},
    {"bidirectional": True},
    {"num_layers": 2},
    {"num_layers": 3, "bidirectional": True},
]


def gru(**changes) -> GRUTextEncoder:
    return GRUTextEncoder(**{"vocabulary": WORDS, "word_dim": 6, "hidden_dim": 10, **changes}).eval()


def transformer(**changes) -> TransformerTextEncoder:
    small = {"vocabulary": WORDS, "width": 12, "num_layers": 2, "num_heads": 3, "max_tokens": 9, "word_dim": 6}
    return TransformerTextEncoder(**{**small, **changes}).eval()


def captions(length: int = max(LENGTHS), padding: int = -100) -> tuple[Tensor, Tensor]:
    """The same captions in rows of `length`."""
    generator = torch.Generator().manual_seed(1)
    tokens = torch.full((len(LENGTHS), length), padding)
    for row, num_words in enumerate(LENGTHS):
        tokens[row, :num_words] = torch.randint(4, len(WORDS), (num_words,), generator=generator)
        tokens[row, 0] = 1
    return tokens, torch.arange(length) < torch.tensor(LENGTHS).unsqueeze(1)


@pytest.fixture(params=[*(f"gru {index}" for index in range(len(GRUS))), "transformer", "projected transformer"])
def encoder(request):
    family, _, number = request.param.partition(" ")
    if family == "gru":
        return gru(**GRUS[int(number)])
    return transformer(word_dim=12 if family == "transformer" else 6)


def by_torchs_names(model: GRUTextEncoder) -> dict[str, Tensor]:
    """The parameters of our GRU under the names that they have in torch's."""
    return {
        f"{name}_l{layer}{'_reverse' * backwards}": parameter
        for layer, directions in enumerate(model.layers)
        for backwards, cell in enumerate(directions)
        for name, parameter in cell.named_parameters()
    }


def torch_gru(model: GRUTextEncoder) -> nn.GRU:
    """torch's GRU with the weights of ours."""
    oracle = nn.GRU(6, 10, len(model.layers), batch_first=True, bidirectional=len(model.layers[0]) == 2)
    oracle.load_state_dict({name: parameter.detach() for name, parameter in by_torchs_names(model).items()})
    return oracle


def one_by_one(model: GRUTextEncoder, oracle: nn.GRU) -> Tensor:
    """The vectors of the captions (M, H), each run alone through torch's GRU."""
    tokens, _ = captions()
    rows = [model.embedding(row[:num_words]).unsqueeze(0) for row, num_words in zip(tokens, LENGTHS, strict=True)]
    return torch.cat([oracle(words)[1][-2 if oracle.bidirectional else -1 :].mean(0) for words in rows])


@pytest.mark.parametrize("changes", GRUS)
def test_the_gru_is_torchs_caption_by_caption(changes):
    model = gru(**changes)
    torch.testing.assert_close(model(*captions()), one_by_one(model, torch_gru(model)), rtol=0, atol=1e-6)


@pytest.mark.parametrize("changes", GRUS)
def test_the_gru_has_torchs_gradients(changes):
    model = gru(**changes)
    oracle = torch_gru(model)
    weights = torch.randn(len(LENGTHS), model.output_dim)
    (one_by_one(model, oracle) * weights).sum().backward()
    theirs = {"words": model.embedding.weight.grad, **{name: parameter.grad for name, parameter in oracle.named_parameters()}}
    model.zero_grad()
    (model(*captions()) * weights).sum().backward()
    found = {"words": model.embedding.weight.grad, **{name: parameter.grad for name, parameter in by_torchs_names(model).items()}}
    torch.testing.assert_close(found, theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize("word_dim", [6, 12])
def test_the_transformer_is_torchs_caption_by_caption(word_dim):
    model = transformer(word_dim=word_dim)
    layer = nn.TransformerEncoderLayer(12, 3, 48, activation="gelu", batch_first=True, norm_first=True)
    oracle = nn.TransformerEncoder(layer, 2, nn.LayerNorm(12), enable_nested_tensor=False).eval()
    oracle.layers.load_state_dict(model.blocks.state_dict())
    oracle.norm.load_state_dict(model.norm.state_dict())
    tokens, is_word = captions()
    expected = []
    for row, num_words in enumerate(LENGTHS):
        words = model.bridge(model.embedding(tokens[row, :num_words])) + model.positions.weight[:num_words]
        expected.append(oracle(words.unsqueeze(0)).mean(1))
    torch.testing.assert_close(model(tokens, is_word), torch.cat(expected), rtol=0, atol=1e-6)


def test_no_two_blocks_start_alike():
    first, second = transformer().blocks
    assert not torch.equal(first.linear1.weight, second.linear1.weight)


@pytest.mark.parametrize(("length", "padding"), [(7, 0), (7, 5), (9, -100), (12, -1), (12, len(WORDS) + 3)])
@pytest.mark.parametrize("graph", [True, False])
def test_padding_changes_nothing(encoder, length, padding, graph):
    with torch.set_grad_enabled(graph):
        torch.testing.assert_close(encoder(*captions(length, padding)), encoder(*captions()), rtol=0, atol=1e-6)


def test_a_caption_does_not_depend_on_the_others(encoder):
    tokens, is_word = captions()
    together = encoder(tokens, is_word)
    order = torch.tensor([3, 0, 5, 2, 1, 4])
    torch.testing.assert_close(encoder(tokens[order], is_word[order]), together[order], rtol=0, atol=1e-6)
    for row in range(len(LENGTHS)):
        torch.testing.assert_close(encoder(tokens[row : row + 1], is_word[row : row + 1])[0], together[row], rtol=0, atol=1e-6)


def test_the_order_of_words_counts(encoder):
    forth, is_word = torch.tensor([[1, 5, 6, 7, 2]]), torch.ones(1, 5, dtype=torch.bool)
    back = torch.tensor([[1, 7, 6, 5, 2]])
    assert (encoder(forth, is_word) - encoder(back, is_word)).abs().max() > 1e-3


def test_everything_that_trains_gets_a_gradient(encoder):
    vectors = encoder.train()(*captions(length=9))
    assert vectors.shape == (len(LENGTHS), encoder.output_dim)
    (vectors * torch.randn_like(vectors)).sum().backward()
    trained = [parameter for part in encoder.finetuned_parts() for parameter in part.parameters()]
    assert set(trained) == set(encoder.parameters()) and all(parameter.grad.abs().sum() > 0 for parameter in trained)


@pytest.mark.parametrize("make", [gru, transformer])
def test_words_in_padding_get_no_gradient(make):
    model = make()
    tokens, is_word = captions(padding=3)
    model(tokens, is_word).square().sum().backward()
    used = sorted(set(tokens[is_word].tolist()))
    assert model.embedding.weight.grad.abs().sum(1).nonzero().flatten().tolist() == used


@pytest.mark.parametrize("make", [gru, transformer])
def test_dropout_draws_in_training_only(make):
    model = make(dropout=0.5, num_layers=2)
    assert torch.equal(model(*captions()), model(*captions()))
    model.train()
    assert not torch.equal(model(*captions()), model(*captions()))


@pytest.mark.parametrize("make", [gru, transformer])
def test_reduced_precision_stays_close(make):
    model = make()
    with torch.autocast("cpu", torch.bfloat16):
        vectors = model(*captions())
    torch.testing.assert_close(vectors.float(), model(*captions()), rtol=0.1, atol=0.1)


def test_random_words_start_as_published():
    table = gru(vocabulary=tuple(map(str, range(1000))), word_dim=20).embedding.weight
    assert -0.1 <= table.min() < -0.099 and 0.099 < table.max() <= 0.1


@pytest.mark.parametrize("make", [gru, transformer])
def test_glove_vectors_are_read_and_stay_when_asked(make, tmp_path):
    path = tmp_path / "vectors.txt"
    path.write_text("word0 1 2 3\nword5 4 5 6\n", encoding="utf-8")
    fixed = make(word_dim=3, glove=str(path), tune_words=False)
    assert fixed.embedding.weight[[4, 9]].tolist() == [[1, 2, 3], [4, 5, 6]] and fixed.glove_coverage == 0.1
    assert fixed.embedding not in fixed.finetuned_parts()
    assert {*fixed.finetuned_parts(), fixed.embedding} == set(fixed.children())
    tuned = make(word_dim=3, glove=str(path))
    assert tuned.embedding in tuned.finetuned_parts() and make().glove_coverage is None


@pytest.mark.parametrize("make", [gru, transformer])
def test_glove_that_does_not_fit_names_its_keys(make, tmp_path):
    path = tmp_path / "vectors.txt"
    path.write_text("word0 1 2 3\nword5 4 5 6\n", encoding="utf-8")
    with pytest.raises(SoliError, match=r"^text_encoder\.glove=.*set text_encoder\.word_dim=3"):
        make(word_dim=4, glove=str(path))
    with pytest.raises(SoliError, match=r"^text_encoder\.glove=nowhere\.txt"):
        make(glove="nowhere.txt")


def test_the_real_file_gives_words_alike_close_vectors(weights_root):
    path = weights_root / "glove" / "glove.6B.50d.flickr.txt"
    model = gru(vocabulary=("<start>", "dog", "puppy", "street"), word_dim=50, glove=str(path))
    _, dog, puppy, street = model.embedding.weight
    assert model.glove_coverage == 0.75
    assert torch.cosine_similarity(dog, puppy, dim=0) > torch.cosine_similarity(dog, street, dim=0)


@pytest.mark.parametrize(
    ("make", "changes", "message"),
    [
        (gru, {"dropout": 1.0}, r"text_encoder\.dropout=1\.0 .*below 1"),
        (gru, {"dropout": -0.1}, r"text_encoder\.dropout=-0\.1 .*at least 0"),
        (gru, {"word_dim": 0}, r"text_encoder\.word_dim=0 .*at least 1"),
        (gru, {"hidden_dim": -2}, r"text_encoder\.hidden_dim=-2 .*at least 1"),
        (gru, {"num_layers": 0}, r"text_encoder\.num_layers=0 .*at least 1"),
        (transformer, {"dropout": 1.5}, r"text_encoder\.dropout=1\.5 .*below 1"),
        (transformer, {"width": 0}, r"text_encoder\.width=0 .*at least 1"),
        (transformer, {"num_layers": 0}, r"text_encoder\.num_layers=0 .*at least 1"),
        (transformer, {"num_heads": 0}, r"text_encoder\.num_heads=0 .*at least 1"),
        (transformer, {"max_tokens": 0}, r"text_encoder\.max_tokens=0 .*at least 1"),
        (transformer, {"word_dim": 0}, r"text_encoder\.word_dim=0 .*at least 1"),
        (transformer, {"width": 13}, r"text_encoder\.width=13 .*text_encoder\.num_heads=3"),
    ],
)
def test_impossible_settings_are_named(make, changes, message):
    with pytest.raises(SoliError, match=message):
        make(**changes)


def test_a_caption_longer_than_the_positions_is_refused():
    model = transformer(max_tokens=7)
    model(*captions(length=12))  # longer rows, no longer caption
    with pytest.raises(SoliError, match=r"7 tokens, but text_encoder\.max_tokens=6"):
        transformer(max_tokens=6)(*captions())


@pytest.mark.parametrize(("name", "kind"), [("gru", GRUTextEncoder), ("transformer", TransformerTextEncoder)])
def test_the_config_has_every_setting_with_its_default(name, kind):
    config = OmegaConf.to_container(OmegaConf.load(CONFIGS / f"{name}.yaml"))
    assert config.pop("_target_") == f"soli.text_encoders.{kind.__name__}"
    settings = dict(list(inspect.signature(kind).parameters.items())[1:])
    assert config == {key: setting.default for key, setting in settings.items()}
