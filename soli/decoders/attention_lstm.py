"""The attention LSTM of Show, Attend and Tell (arXiv 1502.03044, Sections 3.1.2 and 4.2) with soft attention.

The published PyTorch versions project all L features for attention again at every word. Here they are projected once per image (`keys`),
and the C captions or beams of an image share them without a copy.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from soli.decoders.additive_attention import additive_scores, exponentials
from soli.glove import load_glove
from soli.interfaces import SoliError, check_value


class LSTMState(NamedTuple):
    """What stepping needs: the image's part (N, ...) and each hypothesis's part (N, C, ...)."""

    features: Tensor  # (N, L, D)
    keys: Tensor  # (N, L, A)
    key_exponentials: Tensor  # (N, L, A)
    hidden: Tensor  # (N, C, H)
    cell: Tensor  # (N, C, H)
    attention: Tensor  # (N, C, L), of the last word


class AttentionLSTM(nn.Module):
    """One LSTM layer that looks at the features before each word: score v . tanh(W_f a_l + W_h h), softmax over l, gated context."""

    attention_weight = 1.0  # of the attention loss where a variant leaves it open: lambda of Eq. 14

    def __init__(
        self,
        feature_dim: int,
        vocabulary: tuple[str, ...],
        embedding_dim: int = 50,
        hidden_dim: int = 256,
        attention_dim: int = 256,
        dropout: float = 0.5,
        glove: str | None = None,
        tune_embeddings: bool = True,
        normalize_features: bool = True,
    ):
        """`vocabulary` lists the words by id; `glove` is a text file of word vectors, whose coverage is kept in `glove_coverage`.

        `normalize_features` puts a LayerNorm before everything: encoders differ in scale by a hundred times, and without it a small scale
        makes fine-tuning inflate the encoder until it no longer sees. The published models have none.

        Raises SoliError for a dropout outside [0, 1) and for GloVe files that do not fit.
        """
        super().__init__()
        if not 0 <= dropout < 1:
            raise SoliError(f"decoder.dropout={dropout} must be at least 0 and below 1.")
        for name, size in (("embedding_dim", embedding_dim), ("hidden_dim", hidden_dim), ("attention_dim", attention_dim)):
            check_value(f"decoder.{name}", size, size >= 1, "at least 1")
        self.vocab_size = len(vocabulary)
        self.norm = nn.LayerNorm(feature_dim) if normalize_features else nn.Identity()
        self.embedding = nn.Embedding(self.vocab_size, embedding_dim)
        self.key = nn.Linear(feature_dim, attention_dim)
        self.query = nn.Linear(hidden_dim, attention_dim, bias=False)
        self.score = nn.Linear(attention_dim, 1, bias=False)
        self.initial = nn.Linear(feature_dim, 2 * hidden_dim)
        self.gate = nn.Linear(hidden_dim, feature_dim)
        self.lstm = nn.LSTMCell(embedding_dim + feature_dim, hidden_dim)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(hidden_dim, self.vocab_size)
        nn.init.normal_(self.embedding.weight, std=0.1)
        nn.init.zeros_(self.output.bias)
        nn.init.uniform_(self.output.weight, -0.1, 0.1)  # the first loss is close to log K
        self.glove_coverage: float | None = None
        if glove is not None:
            vectors, self.glove_coverage = load_glove(glove, tuple(vocabulary), embedding_dim, "decoder.glove", "decoder.embedding_dim")
            self.embedding.weight.data.copy_(vectors)
        self.tune_embeddings = tune_embeddings

    def finetuned_parts(self) -> list[nn.Module]:
        """All of it, but for word vectors that are to stay as they are."""
        return [part for part in self.children() if self.tune_embeddings or part is not self.embedding]

    def forward(self, features: Tensor, tokens: Tensor, return_attention: bool = False) -> Tensor | tuple[Tensor, Tensor]:
        """Teacher forcing: features (N, L, D), tokens (N, T) or (N, C, T) -> logits (N, [C,] T, K), on request attention (N, [C,] T, L)."""
        captions = tokens if tokens.dim() == 3 else tokens.unsqueeze(1)  # (N, C, T)
        state = self._start(features, captions.shape[1])
        words = self.embedding(captions)  # (N, C, T, embedding)
        hidden, attention = [], []
        for position in range(captions.shape[2]):
            state = self._advance(words[:, :, position], state)
            hidden.append(state.hidden)
            attention.append(state.attention)
        logits = self.output(self.dropout(torch.stack(hidden, dim=2)))  # (N, C, T, K)
        if tokens.dim() == 2:
            logits = logits.squeeze(1)
        if not return_attention:
            return logits
        weights = torch.stack(attention, dim=2)  # (N, C, T, L)
        return logits, weights if tokens.dim() == 3 else weights.squeeze(1)

    def start(self, features: Tensor) -> LSTMState:
        """Features (N, L, D) -> the state before the first word, one hypothesis per image."""
        return self._start(features, num_captions=1)

    def step(self, tokens: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        """The last tokens (N,) or (N, C) -> logits of the next ones (N, [C,] K) and the new state."""
        rows = tokens if tokens.dim() == 2 else tokens.unsqueeze(1)
        state = self._advance(self.embedding(rows), state)
        logits = self.output(self.dropout(state.hidden))
        return (logits if tokens.dim() == 2 else logits.squeeze(1)), state

    def reorder(self, state: LSTMState, parents: Tensor) -> LSTMState:
        """Hypothesis c of image n continues hypothesis `parents[n, c]`; parents (N, C') may have another C. Features are not copied."""
        hidden, cell, attention = (_gather(part, parents) for part in (state.hidden, state.cell, state.attention))
        return state._replace(hidden=hidden, cell=cell, attention=attention)

    def select(self, state: LSTMState, images: Tensor) -> LSTMState:
        """Keeps the images with these indices (M,)."""
        return LSTMState(*(part[images] for part in state))

    def _start(self, features: Tensor, num_captions: int) -> LSTMState:
        features = self.norm(features)
        hidden, cell = self.initial(features.mean(1)).tanh().unsqueeze(1).expand(-1, num_captions, -1).chunk(2, dim=-1)
        attention = features.new_zeros(features.shape[0], num_captions, features.shape[1])
        keys = self.key(features)
        return LSTMState(features, keys, exponentials(keys), hidden, cell, attention)

    def _advance(self, words: Tensor, state: LSTMState) -> LSTMState:
        """One word further: words (N, C, embedding)."""
        query = self.query(state.hidden)  # (N, C, A)
        scores = additive_scores(state.keys, state.key_exponentials, query, self.score.weight.squeeze(0))
        attention = scores.softmax(-1)  # (N, C, L)
        context = self.gate(state.hidden).sigmoid() * (attention @ state.features)  # (N, C, D)
        inputs = torch.cat([words, context], dim=-1).flatten(0, 1)
        hidden, cell = self.lstm(inputs, (state.hidden.flatten(0, 1), state.cell.flatten(0, 1)))
        shape = state.hidden.shape
        return state._replace(hidden=hidden.view(shape), cell=cell.view(shape), attention=attention)


def _gather(part: Tensor, parents: Tensor) -> Tensor:
    return part.gather(1, parents.unsqueeze(-1).expand(-1, -1, part.shape[-1]))
