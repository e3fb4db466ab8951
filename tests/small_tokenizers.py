"""tokenizer.json files of a few tokens, as plain values: pieces of words of GPT-2's kind, and whole words."""

from __future__ import annotations

import json
from typing import Any

import tokenizers
from tokenizers import decoders, models, pre_tokenizers

from soli.vocabulary import SPECIAL_WORDS


def byte_pairs() -> dict[str, Any]:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    ids = {token: index for index, token in enumerate([*alphabet, "do", "dog", "<|endoftext|>"])}
    backend = tokenizers.Tokenizer(models.BPE(ids, [("d", "o"), ("do", "g")]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(["<|endoftext|>"])
    return json.loads(backend.to_str())


def whole_words(words: list[str]) -> dict[str, Any]:
    ids = {word: index for index, word in enumerate([*SPECIAL_WORDS, *words])}
    return json.loads(tokenizers.Tokenizer(models.WordLevel(ids, unk_token=SPECIAL_WORDS[3])).to_str())
