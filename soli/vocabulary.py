"""The words a decoder knows, built from the training captions only, and the tokenizer made of them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from soli.interfaces import SoliError
from soli.tokenization import tokenize

SPECIAL_WORDS = ("<pad>", "<start>", "<end>", "<unk>")


class Vocabulary:
    """Words and their ids: `<pad>` 0, `<start>` 1, `<end>` 2, `<unk>` 3, then the rest. A Tokenizer (soli/interfaces.py) on whole words."""

    pad_id, start_id, end_id, unk_id = range(4)
    suppressed_ids = (pad_id, start_id, unk_id)

    def __init__(self, words: Sequence[str]):
        """`words` includes the four special ones, first. Raises SoliError when they are not there or a word occurs twice."""
        if tuple(words[:4]) != SPECIAL_WORDS or len(set(words)) != len(words):
            raise SoliError(
                f"A vocabulary starts with {', '.join(SPECIAL_WORDS)} and names every word once; this one starts with {list(words[:4])}."
            )
        self.words = tuple(words)
        self._ids = {word: index for index, word in enumerate(self.words)}

    @classmethod
    def build(cls, captions: Iterable[str], min_count: int = 1) -> Vocabulary:
        """The words that occur at least `min_count` times, the most frequent first, ties in alphabetical order."""
        counts = Counter(word for caption in captions for word in tokenize(caption))
        kept = sorted((word for word, count in counts.items() if count >= min_count), key=lambda word: (-counts[word], word))
        if not kept:
            raise SoliError(
                f"No word occurs {min_count} times in the training captions ({len(counts)} different words): lower vocabulary.min_count."
            )
        return cls((*SPECIAL_WORDS, *(word for word in kept if word not in SPECIAL_WORDS)))

    def __len__(self) -> int:
        return len(self.words)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.words == other.words

    def __hash__(self) -> int:
        return hash(self.words)

    def encode(self, caption: str, max_tokens: int | None = None) -> list[int]:
        """Ids with `<start>` and `<end>`; one too long for `max_tokens` loses its last words and its `<end>`: no false end is taught."""
        ids = [self.start_id, *(self._ids.get(word, self.unk_id) for word in tokenize(caption)), self.end_id]
        return ids[:max_tokens]

    def decode(self, ids: Iterable[int]) -> str:
        """Words up to the first `<end>`, without `<pad>` and `<start>`, joined by spaces."""
        words = []
        for index in ids:
            if index == self.end_id:
                break
            if index not in (self.pad_id, self.start_id):
                words.append(self.words[index])
        return " ".join(words)

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(self.words, ensure_ascii=False, indent=0), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Vocabulary:
        """Raises SoliError when the file is not a list of words."""
        try:
            words = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
                raise ValueError("it is not a list of words")
            return cls(words)
        except ValueError as reason:  # a SoliError is one
            raise SoliError(f"{path} does not hold a vocabulary: {reason}. Take it from a copy of the run, or train anew.") from reason
