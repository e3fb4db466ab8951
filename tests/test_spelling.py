"""The allowed name nearest to an unknown one."""

from __future__ import annotations

from soli.spelling import closest, nearest


def test_nearest_knows_letters_case_and_initials() -> None:
    assert nearest("cidr", ["BLEU", "CIDEr"]) == " (did you mean CIDEr?)"
    assert closest("learning_rate", ["decay", "lr"]) == "lr" and closest("lr", ["decay", "learning_rate"]) == "learning_rate"
    assert nearest("xyz", ["BLEU", "CIDEr"]) == "" and nearest("a", []) == ""
