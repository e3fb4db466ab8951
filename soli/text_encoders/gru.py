"""The GRU over a caption's words of VSE++ (arXiv 1707.05612, section 3.1).

On a CPU, torch's GRU fills gradients as large as all the words at every step, and it projects each word of every caption. Here the captions
of a batch are one run without padding, and equal words are projected once.
"""

from __future__ import annotations

from itertools import chain

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence

from soli.text_encoders.settings import check_settings
from soli.text_encoders.word_vectors import word_vectors


class GRUTextEncoder(nn.Module):
    """A caption's vector is the state after its last word; of both directions, the mean of the states in which each ends."""

    def __init__(
        self,
        vocabulary: tuple[str, ...],
        word_dim: int = 300,
        hidden_dim: int = 1024,
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        glove: str | None = None,
        tune_words: bool = True,
    ):
        """`vocabulary` lists the words by id; `glove` is a text file of word vectors, whose coverage is kept in `glove_coverage`.

        `dropout` is that of the word vectors, alike for equal words of a batch (arXiv 1512.05287), and of the states between layers. Two
        directions are averaged as SCAN does word by word (arXiv 1803.08024).

        Raises SoliError for a dropout outside [0, 1), sizes below 1 and GloVe files that do not fit.
        """
        super().__init__()
        check_settings(dropout, word_dim=word_dim, hidden_dim=hidden_dim, num_layers=num_layers)
        self.output_dim = hidden_dim
        self.embedding, self.glove_coverage = word_vectors(vocabulary, word_dim, glove)
        num_directions = 2 if bidirectional else 1
        widths = [word_dim] + [num_directions * hidden_dim] * (num_layers - 1)
        self.layers = nn.ModuleList(nn.ModuleList(nn.GRUCell(width, hidden_dim) for _ in range(num_directions)) for width in widths)
        self.dropout = nn.Dropout(dropout)
        self.tune_words = tune_words

    def finetuned_parts(self) -> list[nn.Module]:
        """All of it, but for word vectors that are to stay as they are."""
        return [part for part in self.children() if self.tune_words or part is not self.embedding]

    def forward(self, tokens: Tensor, is_word: Tensor) -> Tensor:
        """Captions (M, T), with `is_word` (M, T) false for padding -> (M, H).

        Packed, they are P words, W of which differ: those of place 0 come first, and of a place those of the longest captions.
        """
        packed = pack_padded_sequence(tokens, is_word.sum(-1).cpu(), batch_first=True, enforce_sorted=False)
        num_rows = packed.batch_sizes.tolist()
        words, places = packed.data.unique(return_inverse=True)
        inputs = self.embedding(words)  # (W, word_dim)
        for directions in self.layers:
            inputs = self.dropout(inputs)
            runs = [run(cell, inputs, places, num_rows, bool(backwards)) for backwards, cell in enumerate(directions)]
            inputs, places = torch.cat([torch.cat(states) for states in runs], dim=-1), slice(None)  # (P, H or 2H)
        ends = [last_states(runs[0]), *(states[0] for states in runs[1:])]
        return torch.stack(ends).mean(0)[packed.unsorted_indices]


def run(cell: nn.GRUCell, inputs: Tensor, places: Tensor | slice, num_rows: list[int], backwards: bool) -> list[Tensor]:
    """A cell's states at the places 0, 1, ... of all captions, (`num_rows[place]`, H) each; `inputs[places]` are the words (P, width).

    A caption that has ended leaves, and going `backwards` comes in: the captions are in the order of their lengths, the longest first.
    """
    projected = functional.linear(inputs, cell.weight_ih, cell.bias_ih)[places].split(num_rows)
    state = projected[0].new_zeros(1, cell.hidden_size)
    states = []
    for words in reversed(projected) if backwards else projected:
        rows = functional.pad(state, (0, 0, 0, len(words) - len(state))) if backwards else state[: len(words)]
        state = advance(cell, words, rows)
        states.append(state)
    return states[::-1] if backwards else states


def advance(cell: nn.GRUCell, words: Tensor, state: Tensor) -> Tensor:
    """One word further: projected words (rows, 3H), states (rows or 1, H); the equations of torch.nn.GRU."""
    reset_word, update_word, new_word = words.chunk(3, dim=-1)
    reset_state, update_state, new_state = functional.linear(state, cell.weight_hh, cell.bias_hh).chunk(3, dim=-1)
    update = (update_word + update_state).sigmoid()
    new = (new_word + (reset_word + reset_state).sigmoid() * new_state).tanh()
    return torch.lerp(new, state, update)


def last_states(states: list[Tensor]) -> Tensor:
    """The state of each caption at its last place (M, H): the rows of a place that the next place no longer has."""
    later = chain(((),), reversed(states))
    return torch.cat([here[len(after) :] for here, after in zip(reversed(states), later)])
