"""What benchmarks of training steps train: captioners of the configs' parts with random weights, and random images and captions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from omegaconf import OmegaConf
from torch import Tensor

from soli.configuration import compose
from soli.model import Captioner
from soli.runs import build_captioner
from soli.training.schedule import parameter_groups
from soli.training.settings import OptimizerSettings, Phase
from soli.vocabulary import SPECIAL_WORDS, Vocabulary

VIT_TINY = ("encoder=vit_tiny", "encoder.weights=null")
SMALL_GPT2 = ("decoder=tiny_gpt2",)
ATTENTION_LSTM = ("decoder=att_lstm_glove", "decoder.glove=null")  # at the sizes of SOLI


def build(overrides: Sequence[str], num_words: int = 2500) -> Captioner:
    """The captioner of these overrides of configs/train.yaml, as a phase that trains encoder and decoder has it, but without dropout."""
    config = OmegaConf.to_container(compose([*overrides, "decoder.dropout=0"]), resolve=True)
    torch.manual_seed(0)
    vocabulary = Vocabulary((*SPECIAL_WORDS, *map(str, range(num_words - len(SPECIAL_WORDS)))))
    model = build_captioner(config, vocabulary).to(memory_format=torch.channels_last)
    parameter_groups(model, Phase(train={"encoder": 1.0, "decoder": 1.0}), OptimizerSettings())  # freezes the rest
    return model


def random_images(model: Captioner, number: int) -> Tensor:
    """What the encoder takes, (number, 3, S, S)."""
    images = torch.rand(number, 3, model.encoder.input_size, model.encoder.input_size)
    return images.contiguous(memory_format=torch.channels_last)


def random_captions(number: int, num_captions: int, num_words: int, shortest: int = 12, longest: int = 20) -> Tensor:
    """Token ids (number, num_captions, longest + 2) of a Vocabulary: start, words, end, padding."""
    tokens = torch.randint(len(SPECIAL_WORDS), num_words, (number, num_captions, longest + 2))
    tokens[..., 0] = Vocabulary.start_id
    ends = torch.randint(shortest, longest + 1, (number, num_captions, 1)) + 1
    places = torch.arange(longest + 2)
    return tokens.masked_fill(places == ends, Vocabulary.end_id).masked_fill(places > ends, Vocabulary.pad_id)
