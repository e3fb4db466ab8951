"""The GPT-2 decoder against transformers' GPT2LMHeadModel, and its contract."""

import json
import math

import pytest
import torch
import transformers
from torch.nn import functional

from soli.decoders import GPT2Decoder
from soli.interfaces import SoliError

WORDS = tuple(f"word{index}" for index in range(30))
SIZES = {"n_embd": 24, "n_layer": 2, "n_head": 3, "n_positions": 12}


def decoder(feature_dim=16, words=WORDS, **changes):
    sizes = {**SIZES, **changes.pop("architecture", {})}
    model = GPT2Decoder(feature_dim, words, sizes, **{"dropout": 0.0, **changes}).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)  # far from the small starting weights, so that an error shows
    return model


def oracle(model: GPT2Decoder) -> transformers.GPT2LMHeadModel:
    """transformers' model with the same weights, that returns its attention."""
    config = type(model.gpt2.config)(**{**model.gpt2.config.to_dict(), "attn_implementation": "eager"})
    network = transformers.GPT2LMHeadModel(config).eval()
    network.transformer.load_state_dict(model.gpt2.state_dict())
    network.tie_weights()
    return network


@pytest.mark.parametrize("details", [{}, {"scale_attn_by_inverse_layer_idx": True}, {"scale_attn_weights": False}, {"n_inner": 40}])
@pytest.mark.parametrize("feature_dim", [16, 24])
@torch.no_grad()
def test_outputs_equal_those_of_transformers(feature_dim, details):
    model = decoder(feature_dim, architecture=details)
    features, tokens = torch.randn(3, 7, feature_dim), torch.randint(0, 30, (3, 4, 6))
    repeated = model.bridge(features).repeat_interleave(4, 0)
    expected = oracle(model)(tokens.flatten(0, 1), encoder_hidden_states=repeated, output_attentions=True)
    logits, attention = model(features, tokens, return_attention=True)
    torch.testing.assert_close(logits.flatten(0, 1), expected.logits, atol=2e-4, rtol=1e-4)
    torch.testing.assert_close(model(features, tokens), logits, atol=2e-4, rtol=1e-4)
    shares = torch.stack(expected.cross_attentions).mean((0, 2))  # layers and heads
    torch.testing.assert_close(attention.flatten(0, 1), shares, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_one_caption_each_and_many_captions_agree():
    model, features, tokens = decoder(), torch.randn(3, 7, 16), torch.randint(0, 30, (3, 4, 6))
    together, attention = model(features, tokens, return_attention=True)
    for caption in range(4):
        alone, alone_attention = model(features, tokens[:, caption], return_attention=True)
        torch.testing.assert_close(together[:, caption], alone, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(attention[:, caption], alone_attention)


@torch.no_grad()
def test_stepping_equals_teacher_forcing_through_reorder_and_select():
    model, features, tokens = decoder(), torch.randn(3, 7, 16), torch.randint(0, 30, (3, 2, 6))
    state = model.reorder(model.start(features), torch.zeros(3, 2, dtype=torch.long))
    for position in range(3):
        logits, state = model.step(tokens[..., position], state)
    parents, images = torch.tensor([[1, 1, 0], [0, 1, 1], [0, 0, 1]]), torch.tensor([2, 0])
    state = model.select(model.reorder(state, parents), images)
    assert state.cross.shape[1] == 2 and state.past.shape[1:3] == (2, 3)
    tokens = tokens.gather(1, parents.unsqueeze(-1).expand(-1, -1, 6))[images]
    for position in range(3, 6):
        logits, state = model.step(tokens[..., position], state)
    torch.testing.assert_close(logits, model(features[images], tokens)[:, :, -1], atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_beams_share_the_features():
    model = decoder()
    state = model.start(torch.randn(3, 7, 16))
    assert model.reorder(state, torch.zeros(3, 5, dtype=torch.long)).cross.data_ptr() == state.cross.data_ptr()


def test_padding_reaches_no_other_token():
    model, features = decoder(), torch.randn(2, 7, 16)
    tokens = torch.randint(0, 30, (2, 3, 6))
    tokens[0, 1, 4:], tokens[1, 2] = -100, -100
    shorter = model(features, tokens[:, :, :4])
    torch.testing.assert_close(model(features, tokens)[:, :, :4], shorter)
    loss = functional.cross_entropy(model(features, tokens[..., :-1]).flatten(0, 2), tokens[..., 1:].flatten(), ignore_index=-100)
    assert torch.isfinite(loss)


def test_the_first_loss_is_that_of_a_uniform_guess():
    model = GPT2Decoder(16, tuple(map(str, range(1000))), {**SIZES, "n_embd": 48})
    logits = model(torch.randn(8, 7, 16), torch.randint(0, 1000, (8, 5)))
    loss = functional.cross_entropy(logits.flatten(0, 1), torch.randint(0, 1000, (40,)))
    assert loss.item() == pytest.approx(math.log(1000), rel=0.05)


def test_only_the_cross_attention_trains_when_so_chosen():
    model = decoder(train="cross_attention")
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    found = {names[id(parameter)] for part in model.finetuned_parts() for parameter in part.parameters()}
    assert found == {name for name in names.values() if "cross" in name or name.startswith("bridge")}


def test_lora_starts_as_the_model_it_adapts_and_trains_adapters_only():
    pytest.importorskip("peft", reason="needs the package peft")
    torch.manual_seed(3)
    plain = GPT2Decoder(16, WORDS, SIZES, dropout=0.0).eval()
    torch.manual_seed(3)
    adapted = GPT2Decoder(16, WORDS, SIZES, dropout=0.0, train="lora", lora_rank=4).eval()
    source = {name.replace(".base_layer", ""): value for name, value in adapted.state_dict().items() if "lora" not in name}
    plain.load_state_dict(source)
    features, tokens = torch.randn(2, 7, 16), torch.randint(0, 30, (2, 5))
    torch.testing.assert_close(adapted(features, tokens), plain(features, tokens))
    names = {id(parameter): name for name, parameter in adapted.named_parameters()}
    found = {names[id(parameter)] for part in adapted.finetuned_parts() for parameter in part.parameters()}
    assert sum("lora" in name for name in found) == 2 * 2 * 2  # two layers, two projections, two factors
    assert all("lora" in name or "cross" in name or name.startswith("bridge") for name in found)
    adapted(features, tokens).square().sum().backward()
    assert all(parameter.grad is not None for part in adapted.finetuned_parts() for parameter in part.parameters())


@torch.no_grad()
def test_pretrained_weights_get_a_new_cross_attention_and_say_so(tmp_path):
    plain = transformers.GPT2LMHeadModel(transformers.GPT2Config(**SIZES, vocab_size=30, layer_norm_epsilon=3e-3)).eval()
    plain.save_pretrained(tmp_path)
    model = GPT2Decoder(16, WORDS, SIZES, str(tmp_path), dropout=0.0).eval()
    assert any("has no cross-attention" in notice and "2 layers" in notice for notice in model.notices)
    for block in model.gpt2.h:
        block.crossattention.c_proj.weight.zero_()  # an image that says nothing
    tokens = torch.randint(0, 30, (2, 6))
    torch.testing.assert_close(model(torch.randn(2, 7, 16), tokens), plain(tokens).logits, atol=1e-5, rtol=1e-5)
    assert GPT2Decoder.complete({"architecture": SIZES, "weights": str(tmp_path)})["architecture"]["layer_norm_epsilon"] == 3e-3


@torch.no_grad()
def test_pretrained_weights_with_cross_attention_keep_it(tmp_path):
    first = decoder(24)
    network = oracle(first)
    network.save_pretrained(tmp_path)
    model = GPT2Decoder(24, WORDS, SIZES, str(tmp_path), dropout=0.0).eval()
    features, tokens = torch.randn(2, 7, 24), torch.randint(0, 30, (2, 6))
    assert model.notices == []
    torch.testing.assert_close(model(features, tokens), first(features, tokens))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dropout": 1.0}, "dropout=1.0 must be at least 0 and below 1"),
        ({"architecture": {"n_head": 5}}, "n_embd=24 is no multiple of n_head=5"),
        ({"architecture": {"n_layer": None}}, "has no n_layer"),
        ({"architecture": {"n_layer": True}}, "decoder.architecture.n_layer=True must be a whole number from 1 to 1000"),
        ({"architecture": {"n_head": 0}}, "decoder.architecture.n_head=0 must be a whole number from 1 to"),
        ({"weights": "/no/such/folder"}, "/no/such/folder does not exist.*Give decoder.weights a local folder"),
    ],
)
def test_what_does_not_fit_is_named(changes, message):
    with pytest.raises(SoliError, match=message):
        decoder(**changes)


def test_weights_of_another_size_or_vocabulary_are_refused(tmp_path):
    transformers.GPT2LMHeadModel(transformers.GPT2Config(**SIZES, vocab_size=30)).save_pretrained(tmp_path)
    with pytest.raises(SoliError, match="n_layer 2 there, 3 here"):
        GPT2Decoder(16, WORDS, {**SIZES, "n_layer": 3}, str(tmp_path))
    with pytest.raises(SoliError, match="has 30 tokens, the tokenizer 29: give decoder.tokenizer"):
        GPT2Decoder(16, WORDS[1:], SIZES, str(tmp_path))
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": False}))
    with pytest.raises(SoliError, match="tie_word_embeddings"):
        GPT2Decoder(16, WORDS, SIZES, str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({**config, "model_type": "bert"}))
    with pytest.raises(SoliError, match="is a bert; only gpt2"):
        GPT2Decoder(16, WORDS, SIZES, str(tmp_path))


def test_a_caption_longer_than_the_positions_is_refused():
    with pytest.raises(SoliError, match="13 tokens is longer than decoder.architecture.n_positions=12"):
        decoder()(torch.randn(1, 7, 16), torch.zeros(1, 13, dtype=torch.long))
