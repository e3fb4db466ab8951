"""Greedy and beam search against slow references written by hand, and all of it against transformers' `generate`."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import transformers
from transformers.generation.logits_process import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper
from transformers.modeling_outputs import BaseModelOutput

from soli.decoders import AttentionLSTM, GPT2Decoder
from soli.encoders import TinyEncoder
from soli.generation import GenerationOptions, _probabilities, generate
from soli.interfaces import SoliError
from soli.model import Captioner
from soli.training.settings import GenerationSettings
from soli.vocabulary import Vocabulary

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
    found = generate(decoder, features, TOKENIZER, num_beams=num_beams, max_tokens=7, length_penalty=length_penalty)
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
    straight, permuted = (generate(decoder, part, TOKENIZER, max_tokens=8).ids for part in (features, features[order]))
    assert permuted == [straight[image] for image in order.tolist()]


def test_more_beams_find_captions_at_least_as_likely_in_total(decoder):
    features = 2 * torch.randn(40, 4, 6)
    options = {"max_tokens": 8, "length_penalty": 0.0}
    one, five = (generate(decoder, features, TOKENIZER, num_beams=beams, **options).scores for beams in (1, 5))
    assert sum(five) > sum(one)


def test_suppressed_tokens_never_come_and_the_limit_holds(decoder):
    found = generate(decoder, 2 * torch.randn(30, 4, 6), TOKENIZER, num_beams=4, max_tokens=6)
    assert all(word >= 4 for ids in found.ids for word in ids)
    assert max(map(len, found.ids)) <= 6


@pytest.mark.parametrize("num_beams", [1, 4])
def test_an_image_is_captioned_alone_as_in_a_batch(decoder, num_beams):
    features = 2 * torch.randn(9, 4, 6)
    together = generate(decoder, features, TOKENIZER, num_beams=num_beams, max_tokens=8).ids
    assert together == [generate(decoder, image[None], TOKENIZER, num_beams=num_beams, max_tokens=8).ids[0] for image in features]


def gpt2(seed, end_id, num_words=30):
    """A GPT-2 with random weights whose captions differ and end at different lengths."""
    torch.manual_seed(seed)
    sizes = {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 20}
    model = GPT2Decoder(32, tuple(f"word{index}" for index in range(num_words)), sizes, dropout=0.0).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    model.gpt2.wpe.weight.data *= 4  # words depend on their place, so that captions do not go round in circles
    end = model.gpt2.wte.weight.data[end_id]
    model.gpt2.ln_f.bias.data += 2 * end / end.square().sum()
    return model


def captions_of_transformers(model, features, tokenizer, options):
    """Words and scores of VisionEncoderDecoderModel.generate with the same weights; greedy search has no scores."""
    language_model = transformers.GPT2LMHeadModel(model.gpt2.config).eval()
    language_model.transformer.load_state_dict(model.gpt2.state_dict())
    language_model.tie_weights()
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8, "image_size": 8, "patch_size": 8}
    encoder = transformers.ViTModel(transformers.ViTConfig(**sizes))  # its outputs are given
    found = transformers.VisionEncoderDecoderModel(encoder=encoder, decoder=language_model).generate(
        encoder_outputs=BaseModelOutput(last_hidden_state=features),
        decoder_start_token_id=tokenizer.start_id,
        eos_token_id=tokenizer.end_id,
        pad_token_id=tokenizer.end_id,
        do_sample=False,
        return_dict_in_generate=True,
        output_scores=True,
        **{THEIR_NAMES.get(name, name): value for name, value in options.items()},
    )
    rows = found.sequences[:, 1:].tolist()
    words = [row[: row.index(tokenizer.end_id)] if tokenizer.end_id in row else row for row in rows]
    return words, getattr(found, "sequences_scores", None)


THEIR_NAMES = {"max_tokens": "max_new_tokens", "min_tokens": "min_new_tokens", "no_repeat_ngram": "no_repeat_ngram_size"}
# Two models with a start token of their own, two that start with the token that ends, as GPT-2 does.
MODELS = [(1, 1, 2), (2, 1, 2), (1, 29, 29), (3, 29, 29)]


@pytest.mark.parametrize(
    "options",
    [
        *({"num_beams": beams, "max_tokens": 10} for beams in (1, 2, 3, 4, 5)),
        *({"num_beams": 4, "max_tokens": 10, "length_penalty": penalty} for penalty in (-1.0, 0.0, 0.5, 2.0)),
        *({"num_beams": beams, "max_tokens": 12, "no_repeat_ngram": size} for beams in (1, 4) for size in (1, 2, 3)),
        *({"num_beams": beams, "max_tokens": 9, "min_tokens": words} for beams in (1, 4) for words in (1, 5, 9)),
        *({"num_beams": beams, "max_tokens": tokens} for beams in (1, 3) for tokens in (1, 2)),
        {"num_beams": 5, "max_tokens": 12, "no_repeat_ngram": 2, "min_tokens": 6, "length_penalty": 0.0},
        {"num_beams": 3, "max_tokens": 12, "no_repeat_ngram": 1, "min_tokens": 3, "length_penalty": 1.5},
        {"num_beams": 1, "max_tokens": 12, "no_repeat_ngram": 2, "min_tokens": 4},
    ],
    ids=lambda options: ",".join(f"{name}={value}" for name, value in options.items()),
)
def test_captions_are_those_of_transformers(options):
    lengths, captions = set(), set()
    for seed, start_id, end_id in MODELS:
        model, features = gpt2(seed, end_id), 2 * torch.randn(16, 5, 32)
        tokenizer = SimpleNamespace(pad_id=-100, start_id=start_id, end_id=end_id, suppressed_ids=())
        expected, scores = captions_of_transformers(model, features, tokenizer, options)
        found = generate(model, features, tokenizer, **options)
        assert found.ids == expected
        if scores is not None:
            torch.testing.assert_close(torch.tensor(found.scores), scores, atol=1e-4, rtol=1e-4)
        lengths |= {len(words) for words in expected}
        captions |= {tuple(words) for words in expected}
    room = options["max_tokens"] - options.get("min_tokens", 0)
    assert len(lengths) >= min(4, room + 1)  # the models are good for a test: captions differ, and so do their lengths
    assert len(captions) >= 20 or options["max_tokens"] < 3 or options.get("length_penalty", 1.0) <= 0


@pytest.mark.parametrize("num_beams", [1, 2, 5])
def test_a_tiny_vocabulary_has_the_captions_of_transformers(num_beams):
    """More beams than words: the first steps have fewer hypotheses than beams."""
    for seed in range(4):
        model, features = gpt2(seed, end_id=2, num_words=3), 2 * torch.randn(16, 5, 32)
        tokenizer = SimpleNamespace(pad_id=-100, start_id=1, end_id=2, suppressed_ids=())
        options = {"num_beams": num_beams, "max_tokens": 5}
        assert generate(model, features, tokenizer, **options).ids == captions_of_transformers(model, features, tokenizer, options)[0]


@pytest.mark.parametrize("options", [{"num_beams": 3}, {"num_beams": 1}, {"num_beams": 1, "sample": True}])
def test_a_caption_ends_where_no_word_is_left(decoder, options):
    """Transformers goes on with forbidden words there. The end is forbidden too: as the start token it has come already."""
    tokenizer = SimpleNamespace(pad_id=-100, start_id=2, end_id=2, suppressed_ids=(0, 1, 3))
    found = generate(decoder, 2 * torch.randn(6, 4, 6), tokenizer, no_repeat_ngram=1, **options)
    assert [sorted(ids) for ids in found.ids] == [list(range(4, 12))] * 6
    assert all(math.isfinite(score) for score in found.scores)


def warped(log_probs, options):
    """Probabilities after transformers' warpers, in the order in which its `generate` applies them."""
    warpers = [TemperatureLogitsWarper(options.get("temperature", 1.0))]
    warpers += [TopKLogitsWarper(options["top_k"])] if "top_k" in options else []
    warpers += [TopPLogitsWarper(options["top_p"])] if "top_p" in options else []
    for warper in warpers:
        log_probs = warper(None, log_probs)
    return log_probs.softmax(-1)


FILTERS = [
    {},
    {"temperature": 0.5},
    {"temperature": 3.0},
    {"top_k": 3},
    {"top_k": 100},
    {"top_p": 0.6},
    {"top_p": 1e-6},
    {"temperature": 2.0, "top_k": 6, "top_p": 0.8},
]


@pytest.mark.parametrize("options", FILTERS)
def test_sampling_draws_from_the_distribution_of_transformers(options):
    log_probs = (3 * torch.randn(200, 40)).log_softmax(-1)
    log_probs[:, ::7] = float("-inf")
    log_probs[:, 1] = log_probs[:, 2]  # a tie
    found, expected = _probabilities(log_probs, GenerationOptions(num_beams=1, sample=True, **options)), warped(log_probs.double(), options)
    assert torch.equal(found > 0, expected > 0)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("options", FILTERS)
@torch.no_grad()
def test_first_words_come_as_often_as_they_should(decoder, options):
    draws, image = 4000, 2 * torch.randn(1, 4, 6)
    found = generate(decoder, image.expand(draws, -1, -1), TOKENIZER, num_beams=1, max_tokens=1, sample=True, seed=1, **options)
    counts = torch.bincount(torch.tensor([words[0] if words else 2 for words in found.ids]), minlength=len(WORDS))
    log_probs = torch.tensor([next_log_probs(decoder, image, [])], dtype=torch.float64)
    expected = draws * warped(log_probs, options)[0]
    possible = expected > 0
    assert counts[~possible].sum() == 0
    surprise = ((counts - expected)[possible].square() / expected[possible]).sum()
    freedom = int(possible.sum()) - 1
    assert surprise <= freedom + 5 * math.sqrt(2 * freedom)  # chi-square: its mean and five standard deviations


def test_the_likeliest_word_alone_is_greedy_search(decoder):
    features = 2 * torch.randn(12, 4, 6)
    sampled = generate(decoder, features, TOKENIZER, num_beams=1, sample=True, top_k=1, seed=3)
    greedy = generate(decoder, features, TOKENIZER, num_beams=1)
    assert sampled.ids == greedy.ids
    np.testing.assert_allclose(sampled.scores, greedy.scores, rtol=1e-6)


def test_sampled_captions_are_a_function_of_the_seed_and_the_number_of_the_image(decoder):
    features = 2 * torch.randn(9, 4, 6)
    options = {"num_beams": 1, "sample": True, "max_tokens": 8}
    together = generate(decoder, features, TOKENIZER, seed=4, **options).ids
    alone = [generate(decoder, image[None], TOKENIZER, seed=4, first=index, **options).ids[0] for index, image in enumerate(features)]
    assert together == alone
    assert together != generate(decoder, features, TOKENIZER, seed=5, **options).ids
    same_image = generate(decoder, features[:1].expand(9, -1, -1), TOKENIZER, seed=4, **options).ids
    assert len({tuple(words) for words in same_image}) > 5


def test_sampling_keeps_to_the_lengths_and_repeats_nothing(decoder):
    options = {"num_beams": 1, "sample": True, "min_tokens": 4, "max_tokens": 6, "no_repeat_ngram": 1}
    found = generate(decoder, 2 * torch.randn(40, 4, 6), TOKENIZER, **options).ids
    assert {len(words) for words in found} == {4, 5, 6}
    assert all(len(set(words)) == len(words) and min(words) >= 4 for words in found)


def test_the_captioner_passes_options_on_and_its_batches_change_nothing():
    vocabulary = Vocabulary(WORDS)
    captioner = Captioner(TinyEncoder(32, 32), AttentionLSTM(32, WORDS, 8, 16, 8), vocabulary)
    for parameter in captioner.decoder.parameters():
        parameter.data.normal_()
    images = list(np.random.default_rng(0).integers(0, 256, (7, 40, 40, 3), dtype=np.uint8))
    options = {"num_beams": 1, "sample": True, "seed": 2, "min_tokens": 2, "max_tokens": 6}
    captions = captioner.caption(images, batch_size=7, **options)
    assert captions == captioner.caption(images, batch_size=3, **options)
    assert captions != captioner.caption(images, **{**options, "seed": 3})
    assert all(2 <= len(caption.split()) <= 6 for caption in captions)
    assert captioner.caption(images, None, 1, max_tokens=5) == captioner.caption(images, num_beams=1, max_tokens=5)
    with pytest.raises(SoliError, match="num_beams"):
        captioner.caption(images, sample=True)


@pytest.mark.parametrize("num_beams", [1, 3])
@torch.no_grad()
def test_attention_is_that_of_the_steps(decoder, num_beams):
    features = 2 * torch.randn(8, 4, 6)
    found = generate(decoder, features, TOKENIZER, num_beams=num_beams, max_tokens=7, attend=True)
    assert len({len(ids) for ids in found.ids}) > 1
    for image, (ids, attention) in enumerate(zip(found.ids, found.attention, strict=True)):
        assert attention.shape == (len(ids), 4)
        torch.testing.assert_close(attention.sum(-1), torch.ones(len(ids)))
        state = decoder.start(features[image : image + 1])
        for previous, row in zip([1, *ids], attention):
            _, state = decoder.step(torch.tensor([previous]), state)
            torch.testing.assert_close(row, state.attention[0, 0])
    assert generate(decoder, features, TOKENIZER, num_beams=num_beams, max_tokens=7).attention is None


def test_attention_of_padded_captions_and_of_none():
    model, features = gpt2(3, end_id=29), 2 * torch.randn(16, 5, 32)
    tokenizer = SimpleNamespace(pad_id=-100, start_id=29, end_id=29, suppressed_ids=())
    found = generate(model, features, tokenizer, num_beams=2, max_tokens=8, attend=True)
    assert 0 in map(len, found.ids)
    for image, (ids, attention) in enumerate(zip(found.ids, found.attention, strict=True)):
        assert attention.shape == (len(ids), 5)
        if ids:
            alone = model(features[image : image + 1], torch.tensor([[29, *ids]]), return_attention=True)[1][0, :-1]
            torch.testing.assert_close(attention, alone)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"num_beams": 0}, "num_beams=0 must be at least 1 .*greedy"),
        ({"num_beams": -1}, "num_beams=-1 must be at least 1"),
        ({"max_tokens": 0}, "max_tokens=0 must be at least 1"),
        ({"min_tokens": -1}, "min_tokens=-1 must be at least 0"),
        ({"min_tokens": 6, "max_tokens": 5}, "min_tokens=6 is above generation.max_tokens=5"),
        ({"length_penalty": math.nan}, "length_penalty=nan must lie between"),
        ({"no_repeat_ngram": 0}, "no_repeat_ngram=0 must be at least 1 .*null"),
        ({"sample": True, "num_beams": 1, "temperature": 0.0}, "temperature=0.0 must be a number above 0"),
        ({"sample": True, "num_beams": 1, "temperature": math.inf}, "temperature=inf"),
        ({"sample": True, "num_beams": 1, "temperature": math.nan}, "temperature=nan"),
        ({"sample": True, "num_beams": 1, "top_k": 0}, "top_k=0 must be at least 1 .*null"),
        ({"sample": True, "num_beams": 1, "top_p": 0.0}, "top_p=0.0 must be above 0 and at most 1"),
        ({"sample": True, "num_beams": 1, "top_p": 1.5}, "top_p=1.5 must be above 0 and at most 1"),
        ({"temperature": 0.7}, "temperature=0.7 only matters to sampling: add generation.sample=true"),
        ({"num_beams": 1, "top_k": 5, "top_p": 0.9}, "top_k=5, generation.top_p=0.9 only matters to sampling"),
        ({"sample": True, "num_beams": 3}, "sample=true .* add generation.num_beams=1"),
    ],
)
def test_impossible_options_are_refused(decoder, options, words):
    with pytest.raises(SoliError, match=f"generation.{words}"):
        generate(decoder, torch.randn(1, 4, 6), TOKENIZER, **options)
    with pytest.raises(SoliError, match=f"generation.{words}"):
        GenerationSettings(**options)
