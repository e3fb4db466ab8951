"""The table of word vectors that a text encoder starts from."""

from __future__ import annotations

from torch import nn

from soli.glove import load_glove


def word_vectors(vocabulary: tuple[str, ...], word_dim: int, glove: str | None) -> tuple[nn.Embedding, float | None]:
    """Vectors of the words by id, (K, word_dim): uniform in [-0.1, 0.1] as in VSE++'s code (fartashf/vsepp), or those of the text file
    `glove`, then with the share of the words that it has.

    Raises SoliError for GloVe files that do not fit.
    """
    table = nn.Embedding(len(vocabulary), word_dim)
    if glove is None:
        nn.init.uniform_(table.weight, -0.1, 0.1)
        return table, None
    vectors, coverage = load_glove(glove, tuple(vocabulary), word_dim, "text_encoder.glove", "text_encoder.word_dim")
    table.weight.data.copy_(vectors)
    return table, coverage
