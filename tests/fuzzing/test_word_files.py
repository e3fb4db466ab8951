"""Vocabularies, word vectors and tokenizers, damaged."""

from __future__ import annotations

import json
import math

from hypothesis import given
from hypothesis import strategies as st

from soli.bridge import read_tokens
from soli.byte_pairs import BytePairs
from soli.glove import load_glove
from soli.vocabulary import SPECIAL_WORDS, Vocabulary
from tests.fuzzing.strategies import CAPTIONS, SCALARS, altered, damaged, damaged_json, folder_with, fuzz, only_sentences
from tests.small_tokenizers import byte_pairs, whole_words

WORDS = (*SPECIAL_WORDS, "a", "dog", "runs")
GLOVE = "".join(f"{word} {0.1 * place:.2f} -{place} 1e-{place}\n" for place, word in enumerate(["a", "dog", "cat", "new york"])).encode()
TOKENIZERS = {"pieces": byte_pairs(), "words": whole_words(["a", "dog", "runs"])}


@given(content=damaged_json(list(WORDS)))
@fuzz(120)
def test_vocabularies(content: bytes) -> None:
    with folder_with({"vocabulary.json": content}) as folder, only_sentences():
        vocabulary = Vocabulary.load(folder / "vocabulary.json")
        assert vocabulary.words[:4] == SPECIAL_WORDS
        vocabulary.decode(vocabulary.encode("a dog barks"))


@given(
    content=damaged(GLOVE)
    | st.lists(st.lists(CAPTIONS | st.floats().map(str), max_size=5).map(" ".join))
    .map("\n".join)
    .map(lambda text: text.encode("utf-8", "surrogatepass")),
    width=st.integers(1, 4),
)
@fuzz(150)
def test_word_vectors(content: bytes, width: int) -> None:
    with folder_with({"glove.txt": content}) as folder, only_sentences():
        table, share = load_glove(folder / "glove.txt", WORDS, width, "decoder.glove", "decoder.embedding_dim")
        assert table.shape == (len(WORDS), width) and table.isfinite().all() and 0 < share <= 1 and not math.isnan(share)


@given(kind=st.sampled_from(sorted(TOKENIZERS)), data=st.data())
@fuzz(150)
def test_tokenizers(kind: str, data: st.DataObject) -> None:
    document = TOKENIZERS[kind]
    content = data.draw(damaged_json(document) | altered(document, SCALARS).map(lambda found: json.dumps(found).encode()))
    with folder_with({"tokenizer.json": content}) as folder, only_sentences():
        tokens = read_tokens(str(folder))
        ids = tokens.encode("a dog runs", max_tokens=20)
        assert len(ids) <= 20 and all(isinstance(index, int) and 0 <= index < len(tokens.words) for index in ids)
        assert len(tokens.decode(ids)) < 1000


@given(content=damaged_json({"a": 0, "dog": 1, "<|endoftext|>": 2}), merges=damaged(b"#version: 0.2\na d\nd o\ndo g\n"))
@fuzz(80)
def test_tokenizers_in_two_files(content: bytes, merges: bytes) -> None:
    with folder_with({"vocab.json": content, "merges.txt": merges}) as folder, only_sentences():
        BytePairs.load(folder).encode("a dog")
