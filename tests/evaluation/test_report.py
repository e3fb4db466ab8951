"""report.html: complete, self-contained, well-formed whatever the data hold, and as wide as a phone in a real browser."""

import base64
import copy
import errno
import io
import math
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from soli.evaluation.report import report_page, write_report
from soli.evaluation.report_parts import (
    AMBER,
    GalleryEntry,
    GalleryView,
    attended,
    escape,
    heat_map,
    jpeg,
    number,
    overlay,
    percent,
    quantity,
)

HOSTILE = "</p><script>alert('1')</script> \"q\" & <img src=x onerror=y>\nsecond\u2028line \x00 \ud800 نص ‮ 犬"
VOID = {"meta", "img", "wbr"}
SECTIONS = [
    "Scores",
    "Scores against pixels",
    "Distances between embeddings",
    "Embeddings at each condition",
    "Embeddings on two axes",
    "Photographs",
    "Captions",
    "Cost",
    "Protocol and versions",
]
NAMES = ["original", "R0.2S1", "R0.1S50", "R1S1_GF500"]


class Page(HTMLParser):
    """Reads a page and complains of tags that are not closed in order; its texts by tag, and all attributes."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.texts: list[tuple[str, str]] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.feed(content)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append((self.open[-1] if self.open else "", data))

    def of(self, tag: str) -> list[str]:
        return [text for where, text in self.texts if where == tag]


def some_results() -> dict:
    scores = [0.6, 0.4, 0.2, 0.15]
    sides = [400.0, 80.0, 40.0, 400.0]
    rows = [
        {
            "condition": name,
            "pixels": f"{side:.0f}x{side:.0f}",
            "side": side,
            "family": family,
            "BLEU-4": score / 3,
            "CIDEr": score,
            "drop": None if name == "original" else 1 - score / 0.6,
            "distinct": 853,
            "distance": 24.1,
            "signature": "not shown",
        }
        for name, side, family, score in zip(NAMES, sides, ["original", "S1", "S50", "blur"], scores, strict=True)
    ]
    return {
        "name": "par_s0",
        "protocol": "BLEU,CIDEr|level:word|soli:0.1.0",
        "headline": "CIDEr",
        "rows": rows,
        "permuted": {"BLEU-4": 0.01, "CIDEr": 0.0321},
        "area": {"CIDEr": 0.41},
        "embeddings": {
            "distance_to_others": 27.15,
            "ratio": 0.98,
            "found": 0.12,
            "std": 0.4,
            "uniformity": -2.1,
            "conditions": {name: {"distance": 9.5, "alignment": 0.3, "R@1": 0.5, "R@5": 0.7, "pc_id": 43} for name in NAMES[1:]},
            "matrix": {"names": [*NAMES, "another photograph"], "values": [[float(abs(i - j)) for j in range(5)] for i in range(5)]},
            "scatter": {"explained": [0.2, 0.1], "conditions": NAMES, "points": [[[k, c / 2] for c in range(4)] for k in range(3)]},
        },
        "health": [
            {
                "condition": name,
                "distinct": 911,
                "mean_length": 10.2,
                "words_used": 640,
                "most_common": "a dog runs",
                "most_common_share": 0.02,
                "unseen_words": 0.06,
            }
            for name in NAMES
        ],
        "cost": {"parameters": 9.4e6, "milliseconds_quartiles": [12.5, 14.0], "device": "a machine"},
        "unavailable": {"METEOR": "METEOR is not reported: there is no java."},
        "versions": {"soli": "0.1.0"},
    }


def a_photograph(side: int = 64) -> np.ndarray:
    rows, columns = np.mgrid[:side, :side]
    return np.stack([rows * 255 // side, columns * 255 // side, np.full_like(rows, 90)], axis=-1).astype(np.uint8)


def a_view(condition: str = "original", caption: str = "a dog runs", score: float = 0.5, maps: np.ndarray | None = None) -> GalleryView:
    words = tuple(caption.split())
    maps = np.random.default_rng(0).random((len(words), 7, 7)) if maps is None else maps
    return GalleryView(condition, "40x40", a_photograph(), caption, score, words, maps)


def some_photographs(number: int = 2) -> list[GalleryEntry]:
    views = tuple(a_view(name, score=0.5 - index / 10) for index, name in enumerate(NAMES))
    return [GalleryEntry(f"{index}.jpg", ("a dog runs .", "a brown dog ."), views, 0.3) for index in range(number)]


def test_a_full_report_has_every_section_in_order():
    page = Page(report_page(some_results(), some_photographs()))
    assert page.of("h2") == SECTIONS == page.of("a")
    anchors = [value for tag, name, value in page.attributes if (tag, name) == ("section", "id")]
    assert [f"#{anchor}" for anchor in anchors] == [value for tag, name, value in page.attributes if (tag, name) == ("a", "href")]
    assert ("html", "lang", "en") in page.attributes and page.tags.count("h1") == 1
    assert page.of("h3") == ["0.jpg", "1.jpg"]


def test_the_summary_says_what_is_lost_and_whether_copies_are_near():
    results = some_results()
    summary = "CIDEr is 0.600 on the originals. At the worst condition, R1S1_GF500, CIDEr is 0.150, 75.0 % lower. The ratio"
    assert summary in report_page(results, []) and "is 0.98, not above 1:" in report_page(results, [])
    results["embeddings"]["ratio"] = 1.3
    assert "is 1.30, above 1:" in report_page(results, [])


def test_scores_have_three_decimals_drops_are_shares_and_permuted_captions_come_last():
    scores = report_page(some_results(), []).partition("<table>")[2].partition("</table>")[0]
    rows = [" ".join(re.sub(r"<[^>]*>", " ", row).split()) for row in scores.split("<tr>")[1:]]
    assert rows[0] == "condition pixels BLEU-4 CIDEr drop in CIDEr different captions distance to original"
    assert rows[1] == "original 400x400 0.200 0.600 – 853 24.100"  # noqa: RUF001 - the dash of missing values
    assert " 33.3 % " in rows[2]
    assert rows[-1] == "permuted captions – 0.010 0.032 – – –"  # noqa: RUF001
    assert "METEOR is not reported: there is no java." in report_page(some_results(), [])


def test_it_asks_nothing_of_a_network_and_runs_no_script():
    content = report_page(some_results(), some_photographs())
    page = Page(content)
    assert "http" not in content.replace("http-equiv", "") and "url(" not in content and "@import" not in content
    assert not {"script", "iframe", "link", "object", "embed", "base", "form"} & set(page.tags)
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert {value.partition(",")[0] for _, name, value in page.attributes if name == "src"} == {"data:image/jpeg;base64"}
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    assert ("meta", "content", policy) in page.attributes and ("meta", "charset", "utf-8") in page.attributes


def test_images_have_alternatives_and_tables_have_scopes():
    page = Page(report_page(some_results(), some_photographs(1)))
    alternatives = [value for tag, name, value in page.attributes if (tag, name) == ("img", "alt")]
    assert len(alternatives) == page.tags.count("img") == 4 + 3 + 3
    assert alternatives[0] == "What the encoder saw at original, 40x40 pixels" and alternatives[-1] == "attention for runs"
    assert page.tags.count("th") == sum(name == "scope" for _, name, _ in page.attributes)
    charts = [value for tag, name, value in page.attributes if (tag, name) == ("svg", "role")]
    assert len(charts) == 3 and page.tags.count("title") >= 1 + len(charts)


def test_hostile_data_stay_text(tmp_path):
    results = some_results()
    for row, health in zip(results["rows"], results["health"], strict=True):
        row |= {"condition": HOSTILE, "pixels": HOSTILE, "family": HOSTILE, HOSTILE: 0.5}
        health |= {"condition": HOSTILE, "most_common": HOSTILE, HOSTILE: HOSTILE}
    results |= {"name": HOSTILE, "protocol": HOSTILE, "headline": HOSTILE, "cost": {HOSTILE: HOSTILE}, "versions": {HOSTILE: HOSTILE}}
    results |= {"unavailable": {HOSTILE: HOSTILE}, "area": {HOSTILE: 0.5}, "permuted": {HOSTILE: 0.1}}
    embeddings = results["embeddings"]
    embeddings |= {HOSTILE: 3.0, "conditions": {HOSTILE: {HOSTILE: 1.0}}}
    embeddings["matrix"] |= {"names": [HOSTILE] * 5}
    embeddings["scatter"] |= {"conditions": [HOSTILE] * 4}
    view = GalleryView(HOSTILE, HOSTILE, a_photograph(), HOSTILE, 0.5, (HOSTILE,), np.ones((1, 7, 7)))
    path = tmp_path / "report.html"
    write_report(path, results, [GalleryEntry(HOSTILE, (HOSTILE,), (view,), 0.1)])
    page = Page(path.read_text(encoding="utf-8"))
    assert "script" not in page.tags and not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert page.of("h2") == SECTIONS and page.tags.count("img") == 2
    shown = "</p><script>alert('1')</script> \"q\" & <img src=x onerror=y> second line \ufffd \ufffd نص ‮ 犬"
    assert (
        page.of("h3") == [shown]
        and shown in page.of("bdi")
        and ("img", "alt", f"What the encoder saw at {shown}, {shown} pixels") in (page.attributes)
    )


@pytest.mark.parametrize("value", ["absent", None])
def test_sections_without_data_are_left_out(value):
    results = {key: some for key, some in some_results().items() if key in ("name", "rows", "protocol")}
    if value is None:
        results |= dict.fromkeys(some_results().keys() - results.keys())
    page = Page(report_page(results, []))
    assert page.of("h2") == ["Scores", "Scores against pixels", "Protocol and versions"]
    assert "permuted captions" not in report_page(results, [])


@pytest.mark.parametrize("part", ["conditions", "matrix", "scatter", "ratio", "found"])
@pytest.mark.parametrize("value", ["absent", None])
def test_embeddings_may_lack_a_part(part, value):
    results = some_results()
    del results["embeddings"][part]
    if value is None:
        results["embeddings"][part] = None
    left_out = {"matrix": "Distances between embeddings", "scatter": "Embeddings on two axes"}.get(part)
    assert Page(report_page(results, [])).of("h2") == [title for title in SECTIONS if title not in (left_out, "Photographs")]


def test_no_rows_one_row_and_numbers_that_are_none():
    results = some_results()
    one = {**results, "rows": results["rows"][:1]}
    assert "CIDEr is 0.600 on the originals. The ratio" in report_page(one, [])
    assert "There are no scores." in report_page({"name": "x", "protocol": "y", "rows": []}, [])
    empty = copy.deepcopy(results)
    for row in empty["rows"]:
        row |= {"BLEU-4": None, "CIDEr": math.nan, "drop": math.inf, "side": math.nan, "distinct": None}
    empty["embeddings"] |= {"ratio": math.nan, "found": None, "std": -math.inf}
    empty["embeddings"]["matrix"]["values"] = [[None] * 5, *[[math.nan] * 5] * 4]
    content = report_page(empty, [GalleryEntry("x", (), (a_view(score=math.nan),), math.nan)])
    assert Page(content).of("h2")[0] == "Scores" and "nan" not in re.sub(r"base64,[^\"]*|name", "", content)


def test_captions_may_be_empty_and_attention_may_be_none_or_zero():
    views = (a_view(caption="", maps=np.zeros((0, 0, 0))), a_view("R0.2S1", score=0.1, maps=np.zeros((3, 7, 7))))
    page = Page(report_page(some_results(), [GalleryEntry("x", (), views, 0.0)]))
    assert "(empty caption)" in page.of("span") and page.tags.count("img") == 2 + 3
    assert "Attention per word, R0.2S1" in page.of("p") and "Attention per word, original" not in page.of("p")


def test_attention_is_shown_at_the_original_and_where_the_caption_is_worst():
    views = [a_view("R0.2S1", score=0.2), a_view("R0.1S1", score=math.nan), a_view("original", score=0.1), a_view("R0.1S50", score=0.15)]
    assert [view.condition for view in attended(views)] == ["original", "R0.1S50"]
    views = [a_view("original"), a_view("R0.1S50", score=0.0, maps=np.zeros((0, 0, 0))), a_view("R0.2S1")]
    assert [view.condition for view in attended(views)] == ["original", "R0.2S1"]


def test_words_and_maps_that_do_not_match_are_an_error():
    with pytest.raises(ValueError, match="shorter"):
        report_page(some_results(), [GalleryEntry("x", (), (a_view(maps=np.ones((2, 7, 7))),), 0.0)])


def test_an_overlay_is_dark_without_attention_and_amber_where_it_is_strongest():
    grey = np.full((70, 70, 3), 100, dtype=np.uint8)
    attention = np.zeros((7, 7))
    attention[3, 3] = 0.01  # relative to the strongest place
    drawn = overlay(grey, attention, side=70)
    assert drawn.shape == (70, 70, 3) and drawn.dtype == np.uint8
    assert (drawn[0, 0] == 55).all()
    share = 0.95**2  # half a pixel from the middle of its cell, which is 10 pixels wide
    assert np.abs(drawn[35, 35] - ((1 - share) * 55 + share * (60 + 0.4 * AMBER))).max() < 1.5
    for nothing in (np.zeros((7, 7)), np.full((7, 7), np.nan)):
        assert (overlay(grey, nothing, side=70) == 55).all()


def test_jpegs_are_small_and_what_they_were():
    uri = jpeg(a_photograph(224), 160)
    picture = Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/jpeg;base64,"))))
    assert picture.format == "JPEG" and picture.size == (160, 160)
    expected = np.asarray(Image.fromarray(a_photograph(224)).resize((160, 160)), dtype=float)
    assert np.abs(np.asarray(picture, dtype=float) - expected).mean() < 3
    assert Image.open(io.BytesIO(base64.b64decode(jpeg(a_photograph(32), 160).partition(",")[2]))).size == (32, 32)


def test_numbers_are_written_for_people():
    assert [number(value) for value in (0.12345, 3, np.float32(0.5), "a<b", True)] == ["0.123", "3", "0.500", "a&lt;b", "True"]
    assert {number(value) for value in (None, math.nan, math.inf, np.float32("nan"))} == {"–"}  # noqa: RUF001
    assert [percent(0.1234), percent(None)] == ["12.3 %", "–"]  # noqa: RUF001
    assert [quantity(value) for value in (9.4e6, 12, 0.012344, "cpu", [1.5, 2e3], None)] == [
        "9,400,000", "12", "0.01234", "cpu", "1.5 to 2,000", "–"  # noqa: RUF001
    ]  # fmt: skip
    assert escape("a\r\nb\x0bc\x85d") == "a b c d" and escape(None) == "None"


def test_the_heat_map_tints_by_the_share_of_the_largest():
    shares = re.findall(r"--share:([\d.]+)\">([^<]+)<", heat_map("m", ["a", "b"], [[0.0, 5.0], [20.0, None]]))
    assert shares == [("0.00", "0.0"), ("0.25", "5.0"), ("1.00", "20.0"), ("0.00", "–")]  # noqa: RUF001


def test_an_interrupted_write_leaves_the_older_report(tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    write_report(path, {**some_results(), "name": "older"}, [])
    older = path.read_bytes()
    assert b"older" in older and [each.name for each in tmp_path.iterdir()] == ["report.html"]

    def interrupt(*_):
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr("soli.disks.os.fsync", interrupt)
    with pytest.raises(OSError, match="no space left") as raised:
        write_report(path, some_results(), [])
    assert raised.value.filename == str(path)
    assert path.read_bytes() == older and [each.name for each in tmp_path.iterdir()] == ["report.html"]
    monkeypatch.undo()
    monkeypatch.setattr("soli.disks.os.replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        write_report(path, some_results(), [])
    assert path.read_bytes() == older


def test_twelve_photographs_at_ten_conditions_stay_below_six_megabytes(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (224, 224, 3), dtype=np.uint8)  # no photograph is harder to compress
    names = ["original", *(f"R0.{index}S1" for index in range(1, 10))]
    views = tuple(GalleryView(name, "40x40", noise, "a dog " * 10, 0.5, ("dog",) * 20, np.ones((20, 7, 7))) for name in names)
    write_report(tmp_path / "report.html", some_results(), [GalleryEntry("x", (), views, 0.3)] * 12)
    assert (tmp_path / "report.html").stat().st_size < 6e6


@pytest.fixture(scope="session")
def browser():
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("no chromium, chromium-browser or google-chrome is installed")

    def look(page: Path, *options: str) -> str:
        profile = page.parent / "profile"
        quiet = "no-first-run disable-background-networking disable-component-update disable-sync disable-quic"
        headless = "headless no-sandbox disable-gpu hide-scrollbars"
        command = [found, *(f"--{option}" for option in f"{headless} {quiet}".split()), f"--user-data-dir={profile}", *options]
        return subprocess.run([*command, page.as_uri()], capture_output=True, text=True, timeout=300, check=True).stdout

    return look


MEASURE = """<!DOCTYPE html><body><iframe id="frame" src="report.html" style="width:{width}px;height:2400px;border:0"></iframe><script>
frame.onload = () => {{ const page = frame.contentDocument; const root = page.documentElement;
const wide = [...page.querySelectorAll("h1,h2,h3,p,figure,.chart,.legend,.facts,.views,.words,.scroll,article,nav")]
  .filter(each => each.getBoundingClientRect().right > {width}).map(each => each.tagName + "." + each.className);
document.body.dataset.found = [root.scrollWidth, page.querySelectorAll("section").length, page.querySelectorAll("img").length,
  [...page.images].filter(image => image.naturalWidth > 0).length, wide.join(" ")].join("|"); }};
</script></body>"""


def measured(folder: Path, browser, width: int) -> str:
    """Of report.html in a frame: its width, sections, images, those of them that could be drawn, and what ends right of the frame."""
    (folder / "measure.html").write_text(MEASURE.format(width=width), encoding="utf-8")
    dom = browser(folder / "measure.html", "--allow-file-access-from-files", "--dump-dom", "--virtual-time-budget=5000")
    return re.search(r'data-found="([^"]*)"', dom)[1]


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_in_a_browser_no_part_is_wider_than_the_window(tmp_path, browser, width):
    long = GalleryEntry("unbroken" * 30, ("word" * 60,), (a_view(HOSTILE[:40], caption="caption" * 40),), 0.1)
    results = some_results() | {"name": "name" * 40, "protocol": "protocol" * 40, "cost": {"key" * 40: "value" * 40}}
    write_report(tmp_path / "report.html", results, [*some_photographs(1), long])
    assert measured(tmp_path, browser, width) == f"{width}|9|12|12|"


def test_a_part_that_is_too_wide_would_be_seen(tmp_path, browser):
    content = report_page(some_results(), []).replace("overflow-x:auto", "")
    (tmp_path / "report.html").write_text(content, encoding="utf-8")
    assert int(measured(tmp_path, browser, 390).partition("|")[0]) > 390


def test_in_a_browser_the_parts_are_there_and_something_is_painted(tmp_path, browser):
    write_report(tmp_path / "report.html", some_results(), some_photographs(1))
    picture = tmp_path / "screen.png"
    browser(tmp_path / "report.html", f"--screenshot={picture}", "--window-size=390,2400")
    dom = Page(browser(tmp_path / "report.html", "--dump-dom"))
    assert dom.of("h2") == SECTIONS and dom.tags.count("polyline") == 2 * 3 and dom.tags.count("table") == 4
    painted = np.asarray(Image.open(picture).convert("L"))
    assert painted.shape[0] == 2400 and len(np.unique(painted)) > 20
