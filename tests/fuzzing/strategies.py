"""What the fuzz tests are made of: damaged bytes, damaged JSON, and the promise that only sentences come out.

Examples are the same ones every time; with SOLI_FUZZ=8 they are others each time, and eight times as many of each test.
"""

from __future__ import annotations

import copy
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from soli.interfaces import SoliError

FACTOR = max(1, int(os.environ.get("SOLI_FUZZ", "1")))
REPEATS = "SOLI_FUZZ" not in os.environ
COUNTED: Counter[str] = Counter()  # examples so far
LONGEST_MESSAGE = 3000

ODD_NUMBERS = st.sampled_from([0, -1, 1, 2, 255, 1 << 16, 1 << 31, (1 << 32) - 1, 1 << 62, 10**30, -(1 << 63)])
NAMES = st.sampled_from(
    ["a.jpg", "b.jpg", "c.jpg", "../a.jpg", "x/../../a.jpg", "/etc/passwd", "a\0.jpg", "C:\\a.jpg", "..\\a.jpg", "\ud800.jpg", "", ".", " "]
    + ["a.jpg/b.jpg", "~/a.jpg", "é" * 200, "a" * 300, "\x1b[2J.jpg", "a\nb.jpg", "//a.jpg", "./a.jpg", "a.jpg\u202e"]
)
CAPTIONS = st.text(max_size=12) | st.sampled_from(["a dog runs", " ", "", "a\u2028b", "\ud83d", "=1+1", "\x1b]0;x\x07", "word " * 2500])
SCALARS = st.none() | st.booleans() | ODD_NUMBERS | st.floats() | NAMES | CAPTIONS
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(CAPTIONS, inner, max_size=3), max_leaves=6)


def fuzz(examples: int) -> Callable[[Callable], Callable]:
    """As `settings`, below `given`: so many examples, counted."""

    def decorate(test: Callable) -> Callable:
        @wraps(test)
        def counted(*positional: Any, **named: Any) -> None:
            COUNTED["examples"] += 1
            test(*positional, **named)

        health = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much, HealthCheck.large_base_example]
        return settings(max_examples=examples * FACTOR, derandomize=REPEATS, deadline=None, database=None, suppress_health_check=health)(
            counted
        )

    return decorate


@contextmanager
def only_sentences() -> Iterator[None]:
    """Within it a SoliError may be raised, and nothing else."""
    try:
        yield
    except SoliError as reason:
        assert 20 < len(str(reason)) < LONGEST_MESSAGE, reason


@contextmanager
def folder_with(files: Mapping[str, bytes]) -> Iterator[Path]:
    """A folder of these files that is gone afterwards."""
    with TemporaryDirectory() as name:
        for path, content in files.items():
            (Path(name) / path).parent.mkdir(parents=True, exist_ok=True)
            (Path(name) / path).write_bytes(content)
        yield Path(name)


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """The bytes with one to four damages: cut off, overwritten, left out, repeated, put in, or a number made extreme."""
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, min(len(content), 200)) | st.integers(0, len(content)))
        end = start + draw(st.integers(0, 16))
        kind = draw(st.sampled_from(["cut", "overwrite", "leave out", "repeat", "put in", "extreme"]))
        if kind == "cut":
            content = content[:start]
        elif kind == "leave out":
            content = content[:start] + content[end:]
        elif kind == "repeat":
            content = content[:end] + content[start:end] * draw(st.integers(1, 50)) + content[end:]
        elif kind == "extreme":
            number = draw(st.sampled_from([b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\0", b"\x80\0\0\0"]))
            content = content[:start] + number + content[start + 4 :]
        else:
            new = draw(st.binary(max_size=16))
            content = content[:start] + new + content[(start + len(new) if kind == "overwrite" else start) :]
    return content


@st.composite
def altered(draw: st.DrawFn, document: Any, values: st.SearchStrategy = VALUES) -> Any:
    """The JSON document with one to three of its values, anywhere in it, replaced by others, left out or renamed."""
    document = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        places = list(_places(document))
        if not places:
            return draw(values)
        parent, key = draw(st.sampled_from(places))
        kind = draw(st.sampled_from(["replace", "replace", "replace", "leave out", "rename"]))
        if kind == "replace" or isinstance(parent, list):
            parent[key] = draw(values)
        else:
            value = parent.pop(key)
            if kind == "rename":
                parent[draw(CAPTIONS)] = value
    return document


def damaged_json(document: Any) -> st.SearchStrategy[bytes]:
    """The document as JSON, altered or damaged; now and then nested far too deep."""
    deep = st.sampled_from([b"[" * 100_000, b'{"a":' * 100_000, b"1" * 5000, b"", b"null", b"\xff\xfe[]"])
    text = json.dumps(document).encode()
    return altered(document).map(lambda found: json.dumps(found).encode()) | damaged(text) | deep


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    for key in list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, key
        yield from _places(value[key])
