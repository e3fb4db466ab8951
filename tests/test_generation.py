"""Greedy and beam search against slow references written by hand, one image and one hypothesis at a time."""

import math
from types import SimpleNamespace

import pytest
import torch

from soli.decoders import AttentionLSTM
from soli.generation import generate
from soli.interfaces import SoliError

WORDS = ("<pad>", "<start>", "<end>", "<unk>", *(f"word{index}" for index in range(8)))
TOKENIZER = SimpleNamespace(pad_id=0, start_id=1, end_id=2, suppressed_ids=(0, 1, 3))


@pytest.fixture
def decoder():
    """Random weights, large enough that captions differ and end at different lengths."""
    torch.manual_seed(3)
    model = AttentionLSTM(feature_dim=6, vocabulary=WORDS, embedding_dim=5, hidden_dim=8, attention_dim=4, dropout=0.0).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=1.0)
    model.output.weight.data[2] *= 3  # the end depends on the state, so that captions end at different lengths
    model.output.bias.data[2] += 1
    return model


def next_log_probs(decoder, features, words):
    """Log-probabilities after `words`, from teacher forcing over the whole prefix: no state, no cache."""
    logits = decoder(features, torch.tensor([[1, *words]]))[0, -1]
    logits[list(TOKENIZER.suppressed_ids)] = float("-inf")
    return logits.log_softmax(0).tolist()


def slow_greedy(decoder, features, max_tokens):
    words = []
    while len(words) < max_tokens:
        log_probs = next_log_probs(decoder, features, words)
        word = max(range(len(log_probs)), key=log_probs.__getitem__)
        if word == 2:
            break
        words.append(word)
    return words


def slow_beam(decoder, features, num_beams, max_tokens, length_penalty):
    """The rules of transformers' generate, for one image, in lists."""
    running, finished = [([], 0.0)], []
    for length in range(1, max_tokens + 1):
        continuations = []
        for words, score in running:
            log_probs = next_log_probs(decoder, features, words)
            continuations += [([*words, word], score + log_prob) for word, log_prob in enumerate(log_probs) if log_prob > float("-inf")]
        continuations.sort(key=lambda pair: -pair[1])
        for words, score in continuations[:num_beams]:
            if words[-1] == 2 or length == max_tokens:
                finished.append((words, score / length**length_penalty))
        finished = sorted(finished, key=lambda pair: -pair[1])[:num_beams]
        running = [pair for pair in continuations[: 2 * num_beams] if pair[0][-1] != 2][:num_beams]
        if len(finished) == num_beams and finished[-1][1] >= running[0][1] / length**length_penalty:
            break
    words, score = finished[0]
    return [word for word in words if word != 2], score


@pytest.mark.parametrize("num_beams", [1, 2, 3, 5])
@pytest.mark.parametrize("length_penalty", [0.0, 1.0, 2.0])
@torch.no_grad()
def test_beam_search_equals_the_slow_one(decoder, num_beams, length_penalty):
    features = 2 * torch.randn(12, 4, 6)
    found = generate(decoder, features, TOKENIZER, num_beams, max_tokens=7, length_penalty=length_penalty)
    for image in range(12):
        words, score = slow_beam(decoder, features[image : image + 1], num_beams, 7, length_penalty)
        assert found.ids[image] == words
        assert math.isclose(found.scores[image], score, rel_tol=1e-4, abs_tol=1e-5)
    assert len({tuple(ids) for ids in found.ids}) >= 4
    assert len({len(ids) for ids in found.ids}) > 1 or length_penalty == 2.0  # a strong penalty makes all of them as long as they may be


@torch.no_grad()
def test_one_beam_is_greedy_search(decoder):
    features = 2 * torch.randn(12, 4, 6)
    found = generate(decoder, features, TOKENIZER, num_beams=1, max_tokens=9)
    assert found.ids == [slow_greedy(decoder, features[image : image + 1], 9) for image in range(12)]


def test_permuting_the_images_permutes_the_captions(decoder):
    features, order = 2 * torch.randn(9, 4, 6), torch.randperm(9)
    straight, permuted = (generate(decoder, part, TOKENIZER, 3, 8).ids for part in (features, features[order]))
    assert permuted == [straight[image] for image in order.tolist()]


def test_more_beams_find_captions_at_least_as_likely_in_total(decoder):
    features = 2 * torch.randn(40, 4, 6)
    one, five = (generate(decoder, features, TOKENIZER, beams, 8, length_penalty=0.0).scores for beams in (1, 5))
    assert sum(five) > sum(one)


def test_suppressed_tokens_never_come_and_the_limit_holds(decoder):
    found = generate(decoder, 2 * torch.randn(30, 4, 6), TOKENIZER, 4, max_tokens=6)
    assert all(word >= 4 for ids in found.ids for word in ids)
    assert max(map(len, found.ids)) <= 6


@pytest.mark.parametrize(("num_beams", "max_tokens"), [(0, 5), (3, 0), (-1, 5)])
def test_no_beam_or_no_word_is_refused(decoder, num_beams, max_tokens):
    with pytest.raises(SoliError, match="at least 1"):
        generate(decoder, torch.randn(1, 4, 6), TOKENIZER, num_beams, max_tokens)
