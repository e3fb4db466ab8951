"""What evaluations write for other programs: in a browser, a spreadsheet, Markdown and LaTeX, text of others stays text."""

from __future__ import annotations

import csv
import io
import re
from html.parser import HTMLParser

import pytest

from soli.evaluation.report import report_page
from soli.evaluation.tables import csv_table, latex_table, markdown_table, text_table

FORMULAS = ["=1+1", "+1+1", "-1+1", "@SUM(A1)", "=cmd|' /C calc'!A0", "\t=1+1", "\r=1+1", '=HYPERLINK("http://x","y")']
HTML = "<script>alert(1)</script><img src=x onerror=y>"


@pytest.mark.parametrize("text", FORMULAS)
def test_a_spreadsheet_computes_no_text(text: str) -> None:
    (head, cells) = csv.reader(io.StringIO(csv_table([{"condition": text, "CIDEr": -0.5, text: "fine"}])))
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in [head[0], head[2], cells[0]])
    assert (cells[0].startswith("'") and cells[0][1:].strip() == text.strip().replace("\t", "\t")) or "\\" in cells[0]
    assert cells[1] == "-0.5"


def test_numbers_stay_numbers() -> None:
    rows = [{"condition": "original", "difference": -0.5, "low": 1e-9, "p": 1, "none": None}, {"condition": "it's - fine + @ =", "p": -3}]
    read = list(csv.DictReader(io.StringIO(csv_table(rows))))
    assert [float(read[0][key]) for key in ("difference", "low", "p")] == [-0.5, 1e-9, 1.0]
    assert read[0]["none"] == "" and read[1]["p"] == "-3" and read[1]["condition"] == "it's - fine + @ ="


def test_markdown_holds_no_html_links_or_further_cells() -> None:
    text = f"a|b {HTML} [x](javascript:alert(1)) ![x](y) `code`\nnext *line* \\| &lt;"
    table, _, note = markdown_table([{"condition": text, "CIDEr": 0.5}], "protocol|`x`\n" + HTML).partition("\n\n")
    lines = table.split("\n")
    assert len(lines) == 3 and not re.search(r"[<>]", table)
    assert not re.search(r"(?<!\\)[\[\]`*!]", table)
    assert [len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) for line in lines] == [3, 3, 3]
    assert "&amp;lt;" in table and note.count("`") == 2 and "\n" not in note.rstrip("\n")


def test_latex_runs_no_command() -> None:
    text = "\\input{/etc/passwd} & % # $x$ _ { } ~ ^ \n\\end{tabular}"
    table = latex_table([{"condition": text, "CIDEr": 0.5}], "note\n\\input{/etc/passwd}")
    lines = table.split("\n")
    assert len(lines) == 9 and lines[0].startswith("% note")
    row = lines[5]
    assert re.findall(r"\\[a-z]+", row) == ["\\textbackslash", "\\textasciitilde", "\\textasciicircum", "\\textbackslash"]
    assert not re.search(r"(?<!\\)[#$%_]", row.removesuffix("\\\\")) and len(re.findall(r"(?<!\\)&", row)) == 1


def test_the_table_on_the_screen_has_no_codes() -> None:
    lines = text_table([{"condition": "a\x1b[2J\nb", "CIDEr\x07": 0.5}]).split("\n")
    assert len(lines) == 3 and all(line.isprintable() for line in lines) and "a\\x1b[2J b" in lines[2]


class Links(HTMLParser):
    """The addresses that a page names."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        assert tag not in ("script", "iframe", "object", "embed", "base", "form", "link")
        self.found += [value or "" for name, value in attributes if name in ("href", "src", "action", "xlink:href", "srcset", "style")]
        assert not [name for name, _ in attributes if name.startswith("on")]


@pytest.mark.parametrize(
    "text", [HTML, "javascript:alert(1)", '" onload="alert(1)', "' style='x", "</style><script>", "-->", "]]>", "&#60;script&#62;"]
)
def test_the_report_names_no_address_but_its_own(text: str) -> None:
    row = {"condition": text, "pixels": text, "side": 9.0, "family": text, "CIDEr": 0.5, "drop": None, "distinct": 1, "distance": 0.1}
    results = {"name": text, "protocol": text, "headline": "CIDEr", "rows": [row], "unavailable": {text: text}, "versions": {text: text}}
    results |= {"health": [{"condition": text, "most_common": text}], "cost": {text: text}, "origin": {text: text}}
    links = Links()
    links.feed(report_page(results, []))
    assert links.found and all(address.startswith(("#", "data:image/jpeg;base64,", "--share:")) for address in links.found)
