"""Tokenizers both ways: whole words become a WordLevel tokenizer.json, pieces of words keep their own; both can be read back."""

from __future__ import annotations

import json
from pathlib import Path

import tokenizers
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers

from soli.byte_pairs import END, BytePairs
from soli.hub import TOKENIZER_FILES, fetch
from soli.interfaces import SoliError
from soli.json_text import read_object
from soli.vocabulary import SPECIAL_WORDS, Vocabulary


def write_tokens(tokenizer: Vocabulary | BytePairs, folder: Path, max_tokens: int) -> None:
    """Writes a tokenizer of transformers with the same ids, whose decode(skip_special_tokens=True) gives the same text.

    It encodes captions in soli's words, lower case and parted by blanks. `max_tokens` is the longest caption that the decoder can read.
    """
    from transformers import PreTrainedTokenizerFast  # slow to import

    if isinstance(tokenizer, Vocabulary):
        pad, start, end, unknown = SPECIAL_WORDS
        special = {"pad_token": pad, "bos_token": start, "eos_token": end, "unk_token": unknown}
        backend = _word_level(tokenizer)
    else:
        special = {"pad_token": END, "bos_token": END, "eos_token": END}
        backend = _with_single_spaces(tokenizer.backend)
    theirs = PreTrainedTokenizerFast(tokenizer_object=backend, **special, model_max_length=max_tokens, clean_up_tokenization_spaces=False)
    theirs.save_pretrained(folder)
    path = folder / "tokenizer_config.json"
    settings = read_object(path) | {"tokenizer_class": "PreTrainedTokenizerFast"}  # version 4 knows no other
    path.write_text(json.dumps(settings, indent=2), encoding="utf-8")


def read_tokens(source: str) -> Vocabulary | BytePairs:
    """The tokens in a folder, or of a name on the hub. Raises SoliError when there are none, or the files are damaged."""
    path = fetch(source, "decoder.tokenizer", TOKENIZER_FILES)
    path = path / "tokenizer.json" if path.is_dir() else path
    try:
        model = read_object(path)["model"]
        words = sorted(model["vocab"], key=model["vocab"].__getitem__) if model["type"] == "WordLevel" else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        words = None  # BytePairs says what is missing or damaged
    if words is None:
        return BytePairs.load(source)
    try:
        return Vocabulary(words)
    except SoliError as reason:
        raise SoliError(
            f"decoder.tokenizer={source} holds whole words, but not soli's: {str(reason).rstrip('.')}. Give null for whole words."
        ) from reason


def _word_level(vocabulary: Vocabulary) -> tokenizers.Tokenizer:
    ids = {word: index for index, word in enumerate(vocabulary.words)}
    backend = tokenizers.Tokenizer(models.WordLevel(ids, unk_token=vocabulary.words[vocabulary.unk_id]))
    backend.normalizer = normalizers.Lowercase()
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return backend


def _with_single_spaces(backend: tokenizers.Tokenizer) -> tokenizers.Tokenizer:
    """A copy that decodes to text with single blanks and none at its ends, as BytePairs does."""
    copied = tokenizers.Tokenizer.from_str(backend.to_str())
    if copied.decoder is not None:
        blanks, ends = Regex(r"[\s\x1c-\x1f]+"), Regex(r"^ | $")  # decoders.Strip panics at an empty text
        copied.decoder = decoders.Sequence([copied.decoder, decoders.Replace(blanks, " "), decoders.Replace(ends, "")])
    return copied
