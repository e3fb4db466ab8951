"""What a caption costs: operations against closed forms, parameters by hand, training from a log."""

import json

import pytest
import torch

from soli.decoders import AttentionLSTM
from soli.encoders import ResNetEncoder, ViTEncoder
from soli.evaluation.cost import measure_cost, training_cost
from soli.model import Captioner
from soli.vocabulary import Vocabulary

WORDS = Vocabulary.build(["one two three four five six seven"])


def photographs(number=3):
    return [
        torch.randint(0, 256, (3, 60, 80), dtype=torch.uint8, generator=torch.Generator().manual_seed(index)) for index in range(number)
    ]


def test_operations_of_a_vit_are_those_of_its_matrices():
    sizes = {"hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 96, "patch_size": 8}
    encoder = ViTEncoder(architecture={"model_type": "vit", **sizes}, input_size=32)
    model = Captioner(encoder, AttentionLSTM(48, WORDS.words, 8, 16, 8), WORDS)
    found = measure_cost(model, photographs(), num_beams=2, max_tokens=5)
    tokens, width = 17, 48
    layer = tokens * (4 * width**2 + 2 * width * 96) + 2 * tokens**2 * width
    assert found["encoder_flops"] == 2 * (3 * layer + 16 * width * 3 * 64)
    assert found["parameters"] == sum(parameter.numel() for parameter in model.parameters())
    assert found["encoder_parameters"] + found["decoder_parameters"] == found["parameters"]
    assert found["milliseconds_quartiles"][0] <= found["milliseconds"] <= found["milliseconds_quartiles"][1]
    assert found["peak_bytes"] > 10**7 and found["decoder_flops"] > 0


def test_operations_of_resnet18_are_the_published_ones():
    """1.81 billion multiply-adds at 224 pixels with its classifier (0.5 million), as torchvision's documentation has it."""
    model = Captioner(ResNetEncoder("resnet18", weights=None, input_size=224), AttentionLSTM(512, WORDS.words, 8, 16, 8), WORDS)
    found = measure_cost(model, photographs(1), num_beams=1, max_tokens=2)
    assert found["encoder_flops"] / 2 == pytest.approx(1.81e9, rel=0.01)
    assert model.training


def test_training_is_read_from_the_log(tmp_path):
    (tmp_path / "data.json").write_text(json.dumps({"splits": {"train": {"photographs": 60}}}))
    lines = [
        {"kind": "train", "step": 1},
        {"kind": "epoch", "step": 6, "images_per_second": 30.0},
        {"kind": "validation", "step": 6},
        {"kind": "epoch", "step": 12, "images_per_second": 20.0},
    ]
    (tmp_path / "log").write_text("\n".join(map(json.dumps, lines)))
    found = training_cost(tmp_path / "log", tmp_path / "data.json")
    assert found == {"training_steps": 12, "training_photographs": 120, "training_seconds": 60 / 30 + 60 / 20}


@pytest.mark.parametrize("text", [None, "", "nonsense", '{"kind": "train", "step": 1}'])
def test_without_a_log_there_is_no_cost_of_training(tmp_path, text):
    (tmp_path / "data.json").write_text(json.dumps({"splits": {"train": {"photographs": 60}}}))
    if text is not None:
        (tmp_path / "log").write_text(text)
    assert training_cost(tmp_path / "log", tmp_path / "data.json") == {}
