"""GPT-2's byte-pair tokens (Radford et al., 2019): captions to token ids for decoders with pretrained weights."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import tokenizers
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel

from soli.hub import TOKENIZER_FILES, fetch, first_line
from soli.interfaces import SoliError
from soli.tokenization import tokenize

END = "<|endoftext|>"


class BytePairs:
    """A Tokenizer (soli/interfaces.py) over pieces of words. `<|endoftext|>` starts and ends a caption.

    Padding is no token: its id is -100. Captions are encoded as the words that the metrics count: in lower case, without
    punctuation, with single spaces.
    """

    pad_id = -100
    suppressed_ids: tuple[int, ...] = ()

    def __init__(self, backend: tokenizers.Tokenizer):
        """Raises SoliError when there is no `<|endoftext|>`, so that no caption could end."""
        self.backend = backend
        end = backend.token_to_id(END)
        if end is None:
            size = backend.get_vocab_size()
            raise SoliError(f"The tokenizer of {size} tokens has no {END}: it is not GPT-2's. Give decoder.tokenizer its folder.")
        self.start_id = self.end_id = end
        words = {index: word for word, index in backend.get_vocab().items()}
        self.words = tuple(words.get(index, "") for index in range(max(words) + 1))

    @classmethod
    def load(cls, source: str | Path) -> BytePairs:
        """From a file tokenizer.json, a folder with it or with vocab.json and merges.txt, or a name on the hub.

        Raises SoliError when the files are missing or damaged.
        """
        folder = fetch(str(source), "decoder.tokenizer", TOKENIZER_FILES)
        whole = folder if folder.is_file() else folder / "tokenizer.json"
        if not whole.is_file() and not holds_tokenizer(folder):
            raise SoliError(f"decoder.tokenizer={source} holds no tokenizer: it needs tokenizer.json, or vocab.json and merges.txt.")
        try:
            return cls(
                tokenizers.Tokenizer.from_file(str(whole))
                if whole.is_file()
                else _from_merges(folder / "vocab.json", folder / "merges.txt")
            )
        except SoliError:
            raise
        except Exception as reason:  # the library raises plain Exceptions
            raise SoliError(
                f"decoder.tokenizer={source} cannot be read ({first_line(reason)}). Give the files of GPT-2's tokenizer, or null."
            ) from reason

    def save(self, path: Path) -> None:
        """Writes tokenizer.json."""
        self.backend.save(str(path), pretty=False)

    def __len__(self) -> int:
        return len(self.words)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BytePairs) and self.words == other.words

    def __hash__(self) -> int:
        return hash(self.words)

    def encode(self, caption: str, max_tokens: int | None = None) -> list[int]:
        """Ids between start and end; a caption too long for `max_tokens` loses its last tokens and its end: no false end is taught."""
        ids = [self.start_id, *self.backend.encode(" ".join(tokenize(caption)), add_special_tokens=False).ids, self.end_id]
        return ids[:max_tokens]

    def decode(self, ids: Iterable[int]) -> str:
        """The text up to the end; one at the very beginning is the start."""
        kept: list[int] = []
        for index in ids:
            if index == self.end_id and kept:
                break
            if index not in (self.end_id, self.pad_id):
                kept.append(index)
        return " ".join(self.backend.decode(kept).split())


def holds_tokenizer(folder: Path) -> bool:
    """Whether a folder has the files of a tokenizer, in either form."""
    whole, *parts = ((folder / name).is_file() for name in TOKENIZER_FILES)
    return whole or all(parts)


def _from_merges(vocabulary: Path, merges: Path) -> tokenizers.Tokenizer:
    backend = tokenizers.Tokenizer(BPE.from_file(str(vocabulary), str(merges)))
    backend.pre_tokenizer = ByteLevel(add_prefix_space=False)
    backend.decoder = ByteLevelDecoder()
    if backend.token_to_id(END) is not None:
        backend.add_special_tokens([END])
    return backend
