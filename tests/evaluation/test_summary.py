"""Drops, areas, families and health by hand; presets and tables that cannot be misread."""

import math

import pytest

from soli.degradations import PAPER_CONDITIONS, parse
from soli.evaluation.paper import PUBLISHED, beside_paper
from soli.evaluation.presets import chosen_metrics, headline, measured_as
from soli.evaluation.summary import area, family, health, relative_drop, side
from soli.evaluation.tables import latex_table, markdown_table
from soli.interfaces import SoliError


def rows(*points):
    return [{"condition": name, "side": size, "family": kind, "CIDEr": value} for name, size, kind, value in points]


def test_families_of_the_papers_conditions():
    found = [family(parse(name)) for name in PAPER_CONDITIONS]
    assert found == ["original", "S1", "S50", "S1", "S50", "S1", "S50", "S50", "blur", "blur"]
    assert family(parse("R0.5S1_JPEG30")) == "JPEG" and family(parse("R0.5S1+R0.5S50")) == "mixed"


def test_the_area_of_a_constant_is_the_constant_and_of_a_line_its_middle():
    line = rows(("original", 256, "original", 0.8), ("R0.5S1", 64, "S1", 0.4), ("R0.2S1", 16, "S1", 0.0))
    assert area(line, "CIDEr") == pytest.approx(0.4)
    assert area([{**row, "CIDEr": 0.3} for row in line], "CIDEr") == pytest.approx(0.3)


def test_the_area_averages_a_size_and_leaves_blur_out():
    points = rows(("original", 100, "original", 1.0), ("R0.1S1", 10, "S1", 0.6), ("R0.1S50", 10, "S50", 0.2), ("GF500", 100, "blur", 0.0))
    assert area(points, "CIDEr") == pytest.approx((1.0 + 0.4) / 2)
    uneven = rows(("original", 100, "original", 1.0), ("a", 50, "S1", 0.5), ("b", 10, "S1", 0.25))
    total = math.log(2) * 0.75 + math.log(5) * 0.375
    assert area(uneven, "CIDEr") == pytest.approx(total / math.log(10))


def test_the_area_needs_two_sizes():
    assert area(rows(("original", 100, "original", 1.0)), "CIDEr") is None
    assert area(rows(("original", 100, "original", 1.0), ("R1S1", 100, "S1", 0.9)), "CIDEr") is None


def test_drops_are_shares_of_the_original():
    scores = {"original": {"CIDEr": 0.8}, "R0.1S1": {"CIDEr": 0.2}}
    assert relative_drop(scores, "CIDEr") == {"original": 0.0, "R0.1S1": pytest.approx(0.75)}
    assert relative_drop({"R0.1S1": {"CIDEr": 0.2}}, "CIDEr") == {} and relative_drop({"original": {"CIDEr": 0.0}}, "CIDEr") == {}
    assert side((30, 120)) == 60


def test_health_by_hand():
    found = health("original", ["A dog runs.", "a dog runs", "a zebra", "a dog runs"], {"a", "dog", "runs"})
    assert found["distinct"] == 3 and found["mean_length"] == 11 / 4 and found["words_used"] == 4
    assert found["most_common"] == "a dog runs" and found["most_common_share"] == 0.5 and found["unseen_words"] == pytest.approx(1 / 11)
    empty = health("original", ["", ""], None)
    assert empty["mean_length"] == 0 and empty["unseen_words"] is None and health("original", [""], {"a"})["unseen_words"] == 0


def test_presets():
    assert chosen_metrics("retrieval") == ("retrieval",)
    assert chosen_metrics("standard") == ("BLEU", "METEOR", "ROUGE-L", "CIDEr") and chosen_metrics("soli_paper") == ("charBLEU",)
    assert chosen_metrics(["CIDEr", "BLEU", "CIDEr"]) == ("CIDEr", "BLEU")
    for given, message in (("soli", "soli_paper"), (["charBLEU", "BLEU"], "stands alone"), (["cider"], "did you mean CIDEr"), ([], "list")):
        with pytest.raises(SoliError, match=message):
            chosen_metrics(given)
    assert measured_as(("BLEU",), [5, 5]) == {"level": "word", "refs": 5, "smooth": "none"}
    assert measured_as(("BLEU",), [3, 5, 4])["refs"] == "3-5" and measured_as(("charBLEU",), [5])["level"] == "char"
    assert (
        headline(["BLEU-1", "BLEU-4", "CIDEr"]) == "CIDEr"
        and headline(["charBLEU-1", "charBLEU-4"]) == "charBLEU-4"
        and headline([]) is None
    )


def test_tables_escape_what_their_language_would_read():
    table = [{"condition": "R0.1S50_GF500", "CIDEr": 0.5, "drop": 0.123, "p": None}]
    assert markdown_table(table, "a|b").splitlines() == [
        "| condition | CIDEr | drop | p |",
        "| --- | ---: | ---: | ---: |",
        "| R0.1S50_GF500 | 0.500 | 12.3 % | - |",
        "",
        "`a|b`",
    ]
    latex = latex_table(table, "a|b").splitlines()
    assert latex[0] == "% a|b" and latex[1] == "\\begin{tabular}{lrrr}"
    assert latex[5] == "R0.1S50\\_GF500 & 0.500 & 12.3 \\% & - \\\\" and latex[-1] == "\\end{tabular}"


def test_the_papers_figures_come_first_and_are_not_ours():
    table = beside_paper({"mine": {"charBLEU-4": 0.4, "BLEU-4": 0.2}})
    assert table[:-1] == list(PUBLISHED) and table[-1] == {"model": "mine", "charBLEU-4": 0.4, "ratio": None}
