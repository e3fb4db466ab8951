"""A captioner on a CUDA device: the captions, embeddings, kept features and costs of the same one on the CPU."""

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from soli.decoders import AttentionLSTM, GPT2Decoder
from soli.decoders.additive_attention import additive_scores, exponentials
from soli.degradations import parse
from soli.evaluation.attention_maps import attention_maps
from soli.evaluation.cost import measure_cost
from soli.evaluation.ladder import climb
from soli.feature_cache import FeatureCache
from soli.generation import generate
from tests.training.small_runs import make_matching_model, make_model, toy_data

pytestmark = pytest.mark.cuda

DEVICE = "cuda"
WORDS = ("<pad>", "<start>", "<end>", "<unk>", *(f"word{index}" for index in range(40)))
TOKENIZER = SimpleNamespace(pad_id=0, start_id=1, end_id=2, suppressed_ids=(0, 1, 3))
SIZES = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 20}
DECODERS = {
    "lstm": lambda: AttentionLSTM(32, WORDS, 16, 32, 16, dropout=0.0),
    "gpt2": lambda: GPT2Decoder(32, WORDS, SIZES, dropout=0.0),
}

SEARCHES = ({"num_beams": 1}, {"num_beams": 4}, {"num_beams": 4, "no_repeat_ngram": 2}, {"num_beams": 1, "sample": True})


@pytest.fixture(autouse=True)
def single_precision():
    """Convolutions as products are: not in TF32."""
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        yield


@pytest.fixture(scope="module")
def data():
    return toy_data()


@pytest.fixture
def captioners(data):
    """One on each device, whose captions differ from picture to picture."""
    model = make_matching_model(data.tokenizer).eval()
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            parameter.copy_(0.5 * torch.randn_like(parameter))
    return model, copy.deepcopy(model).to(DEVICE)


@pytest.fixture
def photographs():
    generator = np.random.default_rng(0)
    return [generator.integers(0, 256, (*size, 3), dtype=np.uint8) for size in ((60, 90), (90, 60), (200, 150), (33, 33))]


@pytest.mark.parametrize("options", SEARCHES, ids=str)
@pytest.mark.parametrize("name", DECODERS)
def test_generated_tokens_are_those_of_the_cpu(name, options):
    decoder, features = DECODERS[name]().eval(), 2 * torch.randn(9, 12, 32)
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.copy_(0.3 * torch.randn_like(parameter))
    expected = generate(decoder, features, TOKENIZER, max_tokens=12, attend=True, **options)
    found = generate(decoder.to(DEVICE), features.to(DEVICE), TOKENIZER, max_tokens=12, attend=True, **options)
    assert found.ids == expected.ids and len({tuple(ids) for ids in found.ids}) > 1
    assert found.scores == pytest.approx(expected.scores, rel=1e-4)
    for one, two in zip(found.attention, expected.attention, strict=True):
        torch.testing.assert_close(one.cpu(), two, atol=1e-4, rtol=1e-3)


def test_attention_scores_and_their_gradients_are_those_of_the_cpu():
    made = [torch.randn(3, 7, 16), torch.randn(3, 2, 16), torch.randn(16)]
    found = []
    for device in ("cpu", DEVICE):
        keys, query, weight = (tensor.detach().clone().to(device).requires_grad_() for tensor in made)
        scores = additive_scores(keys, exponentials(keys), query, weight)
        scores.square().sum().backward()
        found.append([scores.detach().cpu(), *(tensor.grad.cpu() for tensor in (keys, query, weight))])
    for one, two in zip(*found, strict=True):
        torch.testing.assert_close(one, two, atol=1e-4, rtol=1e-4)


def test_captions_embeddings_matches_and_maps_are_those_of_the_cpu(captioners, photographs):
    on_cpu, on_cuda = captioners
    for condition in (None, "R0.2S50", "R0.5S1_JPEG30"):
        assert on_cuda.caption(photographs, condition, num_beams=3) == on_cpu.caption(photographs, condition, num_beams=3)
        torch.testing.assert_close(on_cuda.embed(photographs, condition), on_cpu.embed(photographs, condition), atol=1e-4, rtol=1e-3)
    texts = ["a red circle", "two squares"]
    torch.testing.assert_close(on_cuda.match(photographs, texts), on_cpu.match(photographs, texts), atol=1e-4, rtol=1e-3)
    for one, two in zip(attention_maps(on_cuda, photographs), attention_maps(on_cpu, photographs), strict=True):
        assert one.words == two.words
        np.testing.assert_allclose(one.maps, two.maps, atol=1e-4)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_ladder_is_climbed(captioners, data, precision):
    conditions = [parse("original"), parse("R0.1S50")]
    found = climb(captioners[1], data, conditions, batch_size=6, precision=precision, progress=False, num_beams=2)
    expected = climb(captioners[0], data, conditions, batch_size=6, progress=False, num_beams=2)
    for one, two in zip(found, expected, strict=True):
        assert one.sizes == two.sizes and one.embeddings.device.type == "cpu" and one.embeddings.isfinite().all()
        assert precision == "bf16" or one.captions == two.captions


def test_features_are_kept_and_taken(data, tmp_path):
    model = make_model(data.tokenizer).eval()
    conditions = [parse("original"), parse("R0.2S1")]
    kept = []
    for device in ("cpu", DEVICE):
        cache = FeatureCache(tmp_path / device, copy.deepcopy(model).to(device), "float32", batch_size=4, say=lambda _: None)
        cache.ensure(data, conditions, progress=False)
        kept.append(cache.features(data.examples, [conditions[1]] * len(data)).cpu())
    torch.testing.assert_close(*kept, atol=1e-4, rtol=1e-3)


def test_a_caption_costs_the_same_operations(captioners):
    photographs = [torch.randint(0, 256, (3, 60, 80), dtype=torch.uint8) for _ in range(3)]
    costs = [measure_cost(model, photographs, num_beams=2, max_tokens=5) for model in captioners]
    assert costs[1]["encoder_flops"] == costs[0]["encoder_flops"] > 0
    assert costs[1]["peak_bytes"] > 0 and costs[1]["device"] == torch.cuda.get_device_name(DEVICE)
