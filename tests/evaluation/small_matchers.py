"""A captioner of random weights that matches photographs and captions, small enough for any test."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from soli.datasets import ToyDataset
from soli.decoders import AttentionLSTM
from soli.encoders import TinyEncoder
from soli.matching import Matcher
from soli.model import Captioner
from soli.vocabulary import Vocabulary


class MeanOfWords(nn.Module):
    """A text encoder: the mean of the words' vectors."""

    def __init__(self, num_words: int, output_dim: int = 12):
        super().__init__()
        self.output_dim = output_dim
        self.words = nn.Embedding(num_words, output_dim)

    def forward(self, tokens: Tensor, is_word: Tensor) -> Tensor:
        words = self.words(tokens.clamp_min(0)) * is_word[..., None]
        return words.sum(1) / is_word.sum(1, keepdim=True)


def give_matcher(model: Captioner, seed: int = 0) -> Captioner:
    """The captioner with a matcher of random weights. The global random state stays as it is."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model.matcher = Matcher(model.encoder.feature_dim, MeanOfWords(len(model.tokenizer)), dim=16)
    return model


def make_matching_captioner(toy: ToyDataset) -> Captioner:
    vocabulary = Vocabulary.build(caption for example in toy.examples("train") for caption in example.captions)
    return give_matcher(Captioner(TinyEncoder(32, 32), AttentionLSTM(32, vocabulary.words, 8, 16, 8), vocabulary))
