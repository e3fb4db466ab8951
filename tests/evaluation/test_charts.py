"""The charts of the report: axes against closed forms, and SVG that any reader of XML takes, whatever the conditions are called."""

import math
from xml.etree import ElementTree

import pytest

from soli.evaluation.charts import (
    CHARACTER,
    NUM_COLOURS,
    SHAPES,
    Axis,
    curves,
    decimals,
    family_styles,
    legend,
    marker,
    nice_step,
    scatter,
    spread,
    ticks,
)

ROWS = [
    {"condition": "original", "pixels": "256x256", "side": 256.0, "family": "original", "CIDEr": 0.8},
    {"condition": "R0.25S1", "pixels": "64x64", "side": 64.0, "family": "S1", "CIDEr": 0.4},
    {"condition": "R0.0625S1", "pixels": "16x16", "side": 16.0, "family": "S1", "CIDEr": 0.0},
]
STYLES = family_styles(row["family"] for row in ROWS)


def places(svg: str) -> dict[str, tuple[float, float]]:
    """Where the points of a chart lie, by the first part of their tooltips."""
    found = {}
    for group in ElementTree.fromstring(svg).iter("g"):
        x, y = group.attrib["transform"].removeprefix("translate(").removesuffix(")").split()
        found[group.findtext("title").partition(": ")[0]] = (float(x), float(y))
    return found


def test_a_logarithmic_axis_gives_every_halving_the_same_length():
    axis = Axis(16, 256, 0, 100, logarithmic=True)
    assert [axis(side) for side in (16, 32, 64, 128, 256)] == pytest.approx([0, 25, 50, 75, 100])


def test_a_linear_axis_may_run_downwards_and_a_single_value_lies_in_the_middle():
    assert [Axis(0, 0.8, 200, 0)(value) for value in (0, 0.2, 0.8)] == pytest.approx([200, 150, 0])
    assert Axis(7, 7, 40, 60)(7) == 50 and Axis(7, 7, 40, 60, logarithmic=True)(7) == 50


@pytest.mark.parametrize(("span", "step"), [(1, 0.2), (0.61, 0.2), (0.5, 0.1), (0.25, 0.05), (1.2, 0.5), (26, 10), (5, 1), (1e-4, 2e-5)])
def test_steps_are_1_2_or_5_times_a_power_of_ten(span, step):
    assert nice_step(span) == pytest.approx(step)


def test_ticks_hold_the_ends_that_are_round_and_lie_within():
    assert ticks(0, 1) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])
    assert ticks(-7, 12) == pytest.approx([-5, 0, 5, 10])
    assert [decimals(step) for step in (10, 1, 0.5, 0.2, 0.05)] == [0, 0, 1, 1, 2]


def test_labels_that_would_touch_are_left_out_but_never_the_ends():
    labels = {0.0: "16", 5.0: "17", 100.0: "128", 108.0: "129", 200.0: "256"}
    kept = spread(labels)
    assert set(kept) == {0.0, 108.0, 200.0}
    assert all(abs(one - other) >= 2 * CHARACTER for one in kept for other in kept if one != other)


def test_points_lie_where_sides_and_scores_say():
    found = places(curves("CIDEr", ROWS, STYLES, width=360, height=250))
    assert found["original"] == (344, 26) and found["R0.0625S1"] == (48, 208)
    assert found["R0.25S1"] == ((344 + 48) / 2, (26 + 208) / 2)  # two of four halvings, half of the score


def test_lines_run_from_the_original_through_a_family_by_size():
    root = ElementTree.fromstring(curves("CIDEr", [ROWS[0], ROWS[2], ROWS[1]], STYLES))
    assert [line.attrib["points"] for line in root.iter("polyline")] == ["344.0,26.0 196.0,117.0 48.0,208.0"]


def test_the_baseline_is_drawn_inside_the_chart_even_where_it_is_the_highest():
    root = ElementTree.fromstring(curves("CIDEr", ROWS, STYLES, baseline=1.0))
    (line,) = [path for path in root.iter("path") if path.get("class") == "baseline"]
    assert line.findtext("title") == "permuted captions: 1.000" and line.attrib["d"].startswith("M40 26.0H")


@pytest.mark.parametrize(
    "rows",
    [[], ROWS[:1], [{**ROWS[0], "CIDEr": None}], [{**ROWS[0], "CIDEr": math.nan}], [{**ROWS[0], "side": 0.0}], [{**ROWS[0], "CIDEr": 0.0}]],
)
def test_charts_of_one_condition_or_none_are_charts(rows):
    svg = curves("CIDEr", rows, STYLES, baseline=math.nan)
    assert "nan" not in svg and ElementTree.fromstring(svg).findtext("title") == "CIDEr against the side in pixels"
    assert len(places(svg)) == sum(bool(row["side"]) and row["CIDEr"] is not None and math.isfinite(row["CIDEr"]) for row in rows)


def test_names_stay_text():
    name = "\"<script>'&\x00\ud800\n]]>"
    rows = [{**ROWS[0], "condition": name, "pixels": name, "family": name}]
    root = ElementTree.fromstring(curves("CIDEr", rows, family_styles([name])))
    assert not list(root.iter("script"))
    assert next(root.iter("g")).findtext("title").startswith("\"<script>'&\ufffd\ufffd ]]>: ")
    assert ElementTree.fromstring(legend({name: 1})).findtext("li/bdi") == "\"<script>'&\ufffd\ufffd ]]>"


def test_families_look_different_by_colour_and_by_shape():
    styles = family_styles(["S1", "original", "S50", "S1", *map(str, range(30))])
    assert list(styles)[:3] == ["original", "S1", "S50"]
    signs = [marker(style) for style in styles.values()]
    assert len(set(signs)) == len(styles)
    paths = [ElementTree.fromstring(sign).attrib for sign in signs[: 1 + min(NUM_COLOURS, len(SHAPES))]]
    assert len({path["d"] for path in paths}) == len({path["class"] for path in paths}) == len(paths)


def test_the_scatter_keeps_distances_in_proportion_and_joins_copies_to_their_original():
    svg = scatter([[[0, 0], [3, 4]], [[-5, 0], [-5, 10]]], ["original", "R0.1S1"], {"R0.1S1": "S1"}, STYLES, [0.2, 0.1])
    found = places(svg)
    one, other = (math.dist(found[f"photograph {number}, original"], found[f"photograph {number}, R0.1S1"]) for number in (1, 2))
    assert other / one == pytest.approx(2, rel=0.01)
    root = ElementTree.fromstring(svg)
    assert sum(path.get("class") == "link" for path in root.iter("path")) == 2
    assert "axis 1 (20.0 %)" in [text.text for text in root.iter("text")]


def test_the_scatter_stays_inside_and_leaves_out_what_is_no_point():
    points = [[[1e6, -3], [math.nan, 0]], [[0, 0], [-1e6, 5]]]
    svg = scatter(points, ["original", "R0.1S1"], {}, STYLES, [None, math.nan])
    found = places(svg)
    assert set(found) == {"photograph 1, original", "photograph 2, original", "photograph 2, R0.1S1"} and "nan" not in svg
    assert all(48 <= x <= 348 and 12 <= y <= 278 for x, y in found.values())


@pytest.mark.parametrize("points", [[], [[[2.0, 2.0]]], [[[0.0, 0.0]], [[0.0, 0.0]]]])
def test_a_scatter_without_extent_is_drawn(points):
    assert len(list(ElementTree.fromstring(scatter(points, ["original"], {}, STYLES, [0.2, 0.1])).iter("g"))) == len(points)


def test_small_sides_keep_a_decimal_only_where_they_have_one():
    rows = [{**ROWS[0], "side": side} for side in (256.0, 44.7, 9.0, 4.47)]
    labels = [text.text for text in ElementTree.fromstring(curves("CIDEr", rows, STYLES)).iter("text")]
    assert {"256", "45", "9", "4.5"} <= set(labels)
