"""Every setting that stands between backticks in the text of README.md and the other documents is one that a command has."""

from __future__ import annotations

import re

import pytest

from soli.configuration.schema import SCHEMAS
from tests.configuration.test_help_page import GROUPS, every_key
from tests.documents.parsing import Passage, documents, spans

KEYS = {key for command in SCHEMAS for key in every_key(command)} | set(GROUPS)
SECTIONS = {key.partition(".")[0] for key in KEYS if "." in key}
SETTING, KEY, ROW = r"'?([a-z_]+(?:[./][\w<>]+)*)=(\S*)", r"([a-z_]+(?:\.[\w<>]+)+)(?<!\.py)()", r"^\| `([a-z_]+)` \|(.*)\|$"
MEANT = {"key", "variant=mine", "sample", "num_beams", "hydra/launcher"}  # no key, no choice, two of generation's keys, Hydra's own


def unknown(span: Passage) -> list[str]:
    """The keys and choices of a span that no command has; of a span that is no settings, none."""
    words = span.text.split()
    settings = [match for word in words if (match := re.fullmatch(SETTING, word))]
    if len(settings) < len(words):
        settings = [match for match in [re.fullmatch(KEY, span.text)] if match and match[1].partition(".")[0] in SECTIONS]
    return [setting[0] for setting in settings if not _is_known(setting[1], setting[2])]


def _is_known(key: str, value: str) -> bool:
    if {key, f"{key}={value}"} & MEANT:
        return True
    if key in GROUPS:
        return not value or "<" in value or value in GROUPS[key]
    return any(re.fullmatch(re.sub(r"<\w+>", r"\\w+", key), known) for known in KEYS)


@pytest.mark.parametrize("document", documents())
def test_settings_in_the_text_are_there(document: str) -> None:
    assert [(span.line, wrong) for span in spans(document, documents()[document]) for wrong in unknown(span)] == []


def test_the_table_of_choices_has_choices_that_are_there() -> None:
    rows = [row for text in documents().values() for row in re.findall(ROW, text, flags=re.MULTILINE) if row[0] in GROUPS]
    assert {group for group, _ in rows} == set(GROUPS)
    for group, choices in rows:
        assert [name for name in re.findall(r"`([\w/]+)`", choices) if name not in GROUPS[group]] == [], group


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("encoder=vit_b16 encoder.weights=null", []),
        ("encoder=vit_b61 encoder.weight=null", ["encoder=vit_b61", "encoder.weight=null"]),
        ("variant.phases.<phase>.views", []),
        ("variant.phases.<phase>.view", ["variant.phases.<phase>.view"]),
        ("variant.phases.<phase>.train.encoder=0.1", []),
        ("optimizer.learning_rate", ["optimizer.learning_rate"]),
        ("soli.load", []),
        ("matching.py", []),
        ("a = b", []),
    ],
)
def test_wrong_keys_and_choices_are_told(text: str, found: list[str]) -> None:
    assert unknown(Passage("some.md", 1, text)) == found
