"""Values of a config against type annotations."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest

from soli.configuration.kinds import accepts, describe


@pytest.mark.parametrize(
    ("kind", "fitting", "others", "words"),
    [
        (int, [0, -3], [True, 1.0, "1", None], "a whole number"),
        (float, [1, 0.5, float("inf")], [True, "1", None, float("nan")], "a number"),
        (bool, [True], [1, "true", None], "true or false"),
        (str, ["", "a"], [1, False, None, ["a"]], "text"),
        (Path, ["a"], [1], "text"),
        (Any, [None, 1, [2]], [], "Any"),
        (int | None, [1, None], [True, "a"], "a whole number or null"),
        (Literal["a", "b"] | None, ["a", None], ["c", 1], "a, b or null"),
        (Literal[1, 2], [1], [True, "1", 3], "1 or 2"),
        (list[str] | None, [[], ["a"], None], ["a", [1], {"a": 1}], "a list such as [a,b] or null"),
        (tuple[int, ...], [[1, 2]], [["a"], 1], "a list of a whole number"),
        (list, [[1, "a"]], ["a"], "a list"),
        (dict[str, float], [{"a": 1}, {}], [{"a": "b"}, [1], None], "a mapping"),
    ],
)
def test_values_fit_their_annotations(kind: Any, fitting: list, others: list, words: str) -> None:
    assert [value for value in fitting if not accepts(value, kind)] == []
    assert [value for value in others if accepts(value, kind)] == []
    assert describe(kind) == words
