"""The attention LSTM against Show, Attend and Tell written out word by word, and against its own contract."""

import math

import pytest
import torch
from torch.nn import functional

from soli.decoders import AttentionLSTM
from soli.interfaces import SoliError

WORDS = ("<pad>", "<start>", "<end>", "<unk>", *(f"word{index}" for index in range(16)))


def decoder(**changes):
    return AttentionLSTM(
        **{"feature_dim": 12, "vocabulary": WORDS, "embedding_dim": 6, "hidden_dim": 10, "attention_dim": 8, "dropout": 0.0, **changes}
    ).eval()


def published_way(model: AttentionLSTM, features, tokens):
    """One caption of one image at a time, all features projected for attention again at every word, as the published versions do."""
    logits, weights = [], []
    for row in range(len(tokens)):
        places = model.norm(features[row])  # (L, D)
        hidden, cell = torch.tanh(model.initial.weight @ places.mean(0) + model.initial.bias).chunk(2)
        for token in tokens[row]:
            scores = torch.stack(
                [
                    model.score.weight[0] @ torch.tanh(model.key.weight @ place + model.key.bias + model.query.weight @ hidden)
                    for place in places
                ]
            )
            alpha = scores.exp() / scores.exp().sum()
            context = torch.zeros(places.shape[1])
            for weight, place in zip(alpha, places, strict=True):
                context = context + weight * place
            context = torch.sigmoid(model.gate.weight @ hidden + model.gate.bias) * context
            inputs = torch.cat([model.embedding.weight[token], context])
            gates = model.lstm.weight_ih @ inputs + model.lstm.bias_ih + model.lstm.weight_hh @ hidden + model.lstm.bias_hh
            into, forget, proposal, out = gates.chunk(4)
            cell = torch.sigmoid(forget) * cell + torch.sigmoid(into) * torch.tanh(proposal)
            hidden = torch.sigmoid(out) * torch.tanh(cell)
            logits.append(model.output.weight @ hidden + model.output.bias)
            weights.append(alpha)
    return torch.stack(logits).view(*tokens.shape, -1), torch.stack(weights).view(*tokens.shape, -1)


@pytest.mark.parametrize("normalize", [True, False])
@torch.no_grad()
def test_outputs_equal_those_of_the_published_way(normalize):
    model = decoder(normalize_features=normalize)
    features, tokens = torch.randn(3, 7, 12), torch.randint(0, 20, (3, 5))
    logits, attention = model(features, tokens, return_attention=True)
    expected_logits, expected_attention = published_way(model, features, tokens)
    torch.testing.assert_close(logits, expected_logits, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(attention, expected_attention, atol=1e-6, rtol=1e-5)


@torch.no_grad()
def test_captions_of_one_image_together_equal_each_alone():
    model = decoder()
    features, tokens = torch.randn(3, 7, 12), torch.randint(0, 20, (3, 4, 5))
    together, attention = model(features, tokens, return_attention=True)
    assert together.shape == (3, 4, 5, 20) and attention.shape == (3, 4, 5, 7)
    for caption in range(4):
        torch.testing.assert_close(together[:, caption], model(features, tokens[:, caption]), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_stepping_equals_teacher_forcing():
    model = decoder()
    features, tokens = torch.randn(3, 7, 12), torch.randint(0, 20, (3, 5))
    state, logits = model.start(features), []
    for position in range(5):
        step, state = model.step(tokens[:, position], state)
        logits.append(step)
    torch.testing.assert_close(torch.stack(logits, 1), model(features, tokens), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_reordered_hypotheses_go_on_from_their_parents_without_copies_of_the_features():
    model = decoder()
    features, first = torch.randn(2, 7, 12), torch.tensor([[4, 5, 6], [7, 8, 9]])
    _, state = model.step(torch.tensor([[1], [1]]), model.start(features))
    state = model.reorder(state, torch.zeros(2, 3, dtype=torch.long))
    _, state = model.step(first, state)
    parents = torch.tensor([[2, 0, 0], [1, 1, 2]])
    logits, reordered = model.step(torch.full((2, 3), 10), model.reorder(state, parents))
    assert reordered.features.data_ptr() == state.features.data_ptr() and reordered.features.shape[0] == 2
    for image in range(2):
        for column in range(3):
            tokens = torch.tensor([[1, int(first[image, parents[image, column]]), 10]])
            torch.testing.assert_close(logits[image, column], model(features[image : image + 1], tokens)[0, -1], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_permuting_the_batch_permutes_the_output():
    model, order = decoder(), torch.tensor([2, 0, 3, 1])
    features, tokens = torch.randn(4, 7, 12), torch.randint(0, 20, (4, 2, 5))
    torch.testing.assert_close(model(features[order], tokens[order]), model(features, tokens)[order], atol=1e-6, rtol=1e-5)


@torch.no_grad()
def test_a_word_does_not_see_the_words_after_it():
    model = decoder()
    features, tokens = torch.randn(1, 7, 12), torch.randint(4, 20, (1, 6))
    changed = tokens.clone()
    changed[:, 3:] = 4
    torch.testing.assert_close(model(features, tokens)[:, :3], model(features, changed)[:, :3])


@torch.no_grad()
def test_the_first_loss_is_close_to_log_k():
    words = WORDS[:4] + tuple(f"w{index}" for index in range(2996))
    model = AttentionLSTM(feature_dim=64, vocabulary=words, embedding_dim=50, hidden_dim=256, attention_dim=256)
    loss = functional.cross_entropy(
        model(torch.randn(8, 49, 64), torch.randint(0, 3000, (8, 12))).flatten(0, 1), torch.randint(0, 3000, (96,))
    )
    assert abs(loss.item() / math.log(3000) - 1) < 0.05


def test_word_vectors_that_are_not_tuned_are_no_part_that_trains():
    fixed, tuned = decoder(tune_embeddings=False), decoder()
    assert fixed.embedding not in fixed.finetuned_parts() and tuned.embedding in tuned.finetuned_parts()
    assert fixed.lstm in fixed.finetuned_parts()


def test_the_gradient_agrees_with_differences():
    model = decoder().double()
    features = torch.randn(1, 3, 12, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda values: model(values, torch.tensor([[[1, 5], [1, 6]]])), features)


def test_a_dropout_of_one_is_refused():
    with pytest.raises(SoliError, match="dropout"):
        decoder(dropout=1.0)
