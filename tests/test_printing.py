"""Lists in messages: a few are named, the rest is counted."""

import pytest

from soli.printing import first_few


@pytest.mark.parametrize(
    ("items", "between", "text"),
    [
        ([], ", ", ""),
        (["a", "b"], ", ", "a, b"),
        (["a", "b", "c", "d"], ", ", "a, b and 2 more"),
        (["a", "b", "c"], "; ", "a; b; and 1 more"),
        (["a", "b", "c"], "\n  ", "a\n  b\n  and 1 more"),
    ],
)
def test_the_rest_is_counted(items: list[str], between: str, text: str) -> None:
    assert first_few(items, most=2, between=between) == text
