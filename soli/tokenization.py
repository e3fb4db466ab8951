"""Captions to words, as the Penn Treebank tokenizer of the caption metrics cuts them: lower case, punctuation dropped."""

from __future__ import annotations

from nltk.tokenize import TreebankWordTokenizer

PUNCTUATION = frozenset(["''", "'", "``", "`", "-lrb-", "-rrb-", "-lcb-", "-rcb-", ".", "?", "!", ",", ":", "-", "--", "...", ";"])


def tokenize(caption: str) -> list[str]:
    words = TreebankWordTokenizer().tokenize(" ".join(caption.split()).lower())
    return [word for word in words if word not in PUNCTUATION]
