"""report.html: one captioner over a ladder of resolutions, in a single file that needs no network and runs no script."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from soli.evaluation.charts import NUM_COLOURS, ORIGINAL, curves, family_styles, legend, scatter
from soli.evaluation.report_parts import (
    DASH,
    LABELS,
    GalleryEntry,
    GalleryView,
    card,
    escape,
    facts,
    heat_map,
    is_finite,
    number,
    percent,
    quantity,
    table,
)
from soli.interfaces import SoliError

__all__ = ["GalleryEntry", "GalleryView", "report_page", "write_report"]

FOR_CHARTS = ("side", "family", "signature")  # of a row, not shown in the table
NO_SCORES = (*FOR_CHARTS, "condition", "pixels", "drop", "distinct", "distance")
STYLE = """
:root{color-scheme:light dark;--text:#1c2126;--soft:#59636e;--ground:#fff;--raised:#f5f7f9;--rule:#d5dbe1;--heat:0 114 178;
--c0:#1c2126;--c1:#0072b2;--c2:#c4500a;--c3:#00805c;--c4:#a84592;--c5:#8f6400;--c6:#2b8fc0;--c7:#6a6f75}
@media(prefers-color-scheme:dark){:root{--text:#e6e9ec;--soft:#a0a9b3;--ground:#14171a;--raised:#1d2125;--rule:#3a4148;--heat:40 140 210;
--c0:#e6e9ec;--c1:#4aa8e8;--c2:#f08a4b;--c3:#2fbf94;--c4:#dd8ccb;--c5:#e0b040;--c6:#9ad4f5;--c7:#9aa0a6}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1.25rem 1rem 4rem;max-width:72rem;background:var(--ground);color:var(--text);
font:1rem/1.5 system-ui,-apple-system,"Segoe UI",Roboto,Arial,sans-serif;overflow-wrap:anywhere;-webkit-text-size-adjust:100%}
h1{font-size:1.7rem;line-height:1.2;margin:.25rem 0 .5rem}
h2{font-size:1.25rem;line-height:1.3;margin:2.75rem 0 .4rem;padding-top:.9rem;border-top:1px solid var(--rule)}
h3{font-size:1rem;margin:0}
p{margin:.4rem 0 .8rem;max-width:46rem}
.lead{font-size:1.1rem}.note{color:var(--soft);font-size:.875rem}
nav{display:flex;flex-wrap:wrap;gap:.15rem 1rem;font-size:.9rem}
nav a{color:var(--c1);padding:.25rem 0}
.scroll{overflow-x:auto;margin:.75rem 0;max-width:100%}
.scroll:focus-visible{outline:2px solid var(--c1);outline-offset:2px}
table{border-collapse:collapse;font-size:.875rem;font-variant-numeric:tabular-nums;overflow-wrap:normal}
th,td{padding:.35rem .65rem;text-align:right;white-space:nowrap;border-bottom:1px solid var(--rule)}
thead th{vertical-align:bottom;font-weight:600;color:var(--soft);line-height:1.25}thead .long{white-space:normal;max-width:9rem}
tbody th{font-weight:600}
th:first-child{text-align:left;position:sticky;left:0;background:var(--ground);padding-left:0;max-width:10rem;white-space:normal}
th.text{text-align:left}td.text{white-space:normal;min-width:14rem;text-align:start}
code{font-size:.875rem}
.main{background:var(--raised);font-weight:600}
.heat td,.heat th{padding:.3rem .5rem;border:0}
.heat tbody td{background:rgb(var(--heat)/calc(var(--share)*.6))}
.heat tbody th{padding-left:0;min-width:6rem}
.heat thead th{position:static;padding:.3rem .5rem;text-align:center}.heat thead span{writing-mode:vertical-rl;white-space:nowrap}
figure{margin:0}
.chart{display:block;width:100%;height:auto;max-width:30rem}
.charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,17rem),1fr));gap:1rem 1.5rem;margin-top:1rem;align-items:start}
@media(min-width:62rem){.charts .chart{max-width:none}.charts .chart:first-child{grid-column:span 2;grid-row:span 2}
.charts .chart:first-child text{font-size:7px}.charts .chart:first-child .mark{scale:.6}}
.chart path,.chart polyline{vector-effect:non-scaling-stroke}
.chart text{font-size:12px;fill:var(--soft)}.chart .name{font-weight:600;fill:var(--text);font-size:13px}
.grid{stroke:var(--rule);stroke-width:1;fill:none}.tick{stroke:var(--soft);fill:none}
.baseline{stroke:var(--soft);stroke-width:1.25;stroke-dasharray:5 4;fill:none}
.line{fill:none;stroke:var(--colour);stroke-width:1.75;stroke-linejoin:round}.link{stroke:var(--soft);stroke-width:.6;opacity:.55;fill:none}
.mark{fill:var(--colour);stroke:var(--colour);stroke-width:1.75;stroke-linejoin:round}.link~g .mark{scale:.8}
.legend{list-style:none;display:flex;flex-wrap:wrap;gap:.3rem 1.1rem;margin:.5rem 0 1rem;padding:0;font-size:.875rem}
.legend li{display:flex;align-items:center;gap:.4rem}.legend svg{width:1.1rem;height:1.1rem;flex:none}
.facts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,10rem),1fr));gap:.7rem 1.5rem;margin:.75rem 0}
.facts dt{color:var(--soft);font-size:.875rem;line-height:1.3}.facts dd{margin:0;font-weight:600;font-variant-numeric:tabular-nums}
article{background:var(--raised);border-radius:.6rem;padding:1rem;margin:1rem 0}
article .note{margin:.1rem 0 .4rem}
.references{margin:.3rem 0 .9rem;padding-left:1.1rem;font-size:.9rem}
.views{display:grid;grid-template-columns:repeat(auto-fill,minmax(9.2rem,1fr));gap:1rem .8rem}
.views img{display:block;width:100%;height:auto;border-radius:.3rem}
.views figcaption{font-size:.875rem;line-height:1.35;padding-top:.35rem}
.views .note{display:block;font-size:.8125rem}.views p{margin:.2rem 0}
.words{list-style:none;display:flex;flex-wrap:wrap;gap:.5rem;margin:.3rem 0 .6rem;padding:0;font-size:.8125rem;line-height:1.25}
.words li{width:72px;text-align:center}.words img{display:block;border-radius:.25rem;margin-bottom:.15rem}
""" + "".join(f".colour{index}{{--colour:var(--c{index})}}" for index in range(NUM_COLOURS + 1))


def write_report(path: Path, results: Mapping[str, Any], gallery: Sequence[GalleryEntry]) -> None:
    """The page of `report_page` as a file; an earlier one is there until the new one is complete.

    Raises SoliError when the file cannot be written.
    """
    content = report_page(results, gallery).encode("utf-8")
    temporary = path.with_name(f"{path.name}.partial")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as reason:
        temporary.unlink(missing_ok=True)
        raise SoliError(f"The report {path} could not be written ({reason}). Free some space there, or give another folder.") from reason


def report_page(results: Mapping[str, Any], gallery: Sequence[GalleryEntry]) -> str:
    """`results`, the content of metrics.json, and photographs in the order in which they are shown -> an HTML page.

    A section whose data are missing is left out.
    """
    sections = {
        "Scores": _scores(results),
        "Scores against pixels": _curves(results),
        "Distances between embeddings": _matrix(results),
        "Embeddings at each condition": _embeddings(results),
        "Embeddings on two axes": _scatter(results),
        "Photographs": _gallery(gallery),
        "Captions": _health(results),
        "Cost": _cost(results),
        "Protocol and versions": _protocol(results),
    }
    sections = {title: content for title, content in sections.items() if content}
    links = "".join(f'<a href="#{_anchor(title)}">{title}</a>' for title in sections)
    body = "".join(f'<section id="{_anchor(title)}"><h2>{title}</h2>{content}</section>' for title, content in sections.items())
    title = f"{escape(results['name'])}: captions by resolution"
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{policy}">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title>'
        f"<style>{STYLE}</style></head>\n<body><header><h1>{title}</h1>"
        f'<p class="lead">{_summary(results)}</p><nav aria-label="Sections">{links}</nav></header>\n<main>{body}</main></body></html>\n'
    )


def _anchor(title: str) -> str:
    return title.lower().replace(" ", "-")


def _metrics(results: Mapping[str, Any]) -> list[str]:
    """The scores that any row has, the headline metric first."""
    names = dict.fromkeys(key for row in results["rows"] for key, value in row.items() if key not in NO_SCORES and is_finite(value))
    return sorted(names, key=lambda name: name != results.get("headline"))


def _original(results: Mapping[str, Any]) -> Mapping[str, Any] | None:
    return next((row for row in results["rows"] if ORIGINAL in (row.get("condition"), row.get("family"))), None)


def _label(key: str, results: Mapping[str, Any]) -> str:
    headline = results.get("headline") or next(iter(_metrics(results)), "score")
    return LABELS.get(key, key.replace("_", " ")).replace("{headline}", headline)


def _columns(rows: Sequence[Mapping[str, Any]], results: Mapping[str, Any], leave_out: Sequence[str] = ()) -> dict[str, str]:
    """Every key of the rows with its label."""
    return {key: _label(key, results) for row in rows for key in row if key not in leave_out}


def _summary(results: Mapping[str, Any]) -> str:
    metrics, original, sentences = _metrics(results), _original(results), []
    if not metrics:
        return "There are no scores."
    metric = metrics[0]
    if original is not None:
        sentences.append(f"{escape(metric)} is {number(original.get(metric))} on the originals.")
    degraded = [row for row in results["rows"] if row is not original and is_finite(row.get(metric))]
    if degraded:
        worst = min(degraded, key=lambda row: row[metric])
        drop = worst.get("drop")
        drop = f", {percent(abs(drop))} {'lower' if drop >= 0 else 'higher'}" if is_finite(drop) else ""
        sentences.append(f"At the worst condition, {escape(worst.get('condition'))}, {escape(metric)} is {number(worst[metric])}{drop}.")
    ratio = (results.get("embeddings") or {}).get("ratio")
    if is_finite(ratio):
        above, place = ("above", "farther") if ratio > 1 else ("not above", "no farther")
        sentences.append(
            f"The ratio of embedding distances is {number(ratio, 2)}, {above} 1: on average, another photograph lies {place} away than the"
            " same one's copy at the condition that moves embeddings most."
        )
    return " ".join(sentences)


def _scores(results: Mapping[str, Any]) -> str:
    rows, metrics = list(results["rows"]), _metrics(results)
    if not rows:
        return ""
    columns = _columns(rows, results, FOR_CHARTS)
    if results.get("permuted"):
        rows.append({"condition": "permuted captions", **results["permuted"]})
    missing = "".join(f'<p class="note">{escape(sentence)}</p>' for sentence in (results.get("unavailable") or {}).values())
    blind = " Permuted captions are those of the first row, each given to another photograph: what a captioner gets without looking."
    return (
        "<p>One row per condition; pixels are the median width and height of the degraded photographs. Higher scores are better; the"
        f" drop is relative to the original.{blind if results.get('permuted') else ''}</p>"
        f"{table('Scores at each condition', columns, rows, metrics[0] if metrics else None)}{missing}"
    )


def _curves(results: Mapping[str, Any]) -> str:
    rows, metrics, permuted = results["rows"], _metrics(results), results.get("permuted") or {}
    if not metrics:
        return ""
    styles = family_styles(row.get("family", ORIGINAL) for row in rows)
    area = [f"{escape(name)} {number(value)}" for name, value in (results.get("area") or {}).items()]
    mean = f"<p>Mean over the logarithm of the pixels: {', '.join(area)}.</p>" if area else ""
    charts = "".join(curves(metric, rows, styles, permuted.get(metric)) for metric in metrics)
    charts = f'<div class="charts">{charts}</div>' if len(metrics) > 1 else charts
    return (
        "<p>Each point is a condition; lines join a family of degradations to the original. To the left there are fewer pixels; a flat line"
        f" is a captioner that does not mind.</p>{legend(styles, 'permuted captions' if permuted else None)}{charts}{mean}"
    )


def _matrix(results: Mapping[str, Any]) -> str:
    matrix = (results.get("embeddings") or {}).get("matrix")
    if not matrix:
        return ""
    return (
        "<p>Mean Euclidean distance between the embeddings of the same photograph at two conditions, and to another photograph. Copies are"
        " recognisable where their distance is well below the last row.</p>"
        f"{heat_map('Distances between embeddings', matrix['names'], matrix['values'])}"
    )


def _embeddings(results: Mapping[str, Any]) -> str:
    embeddings = results.get("embeddings") or {}
    single = {key: value for key, value in embeddings.items() if key not in ("conditions", "matrix", "scatter")}
    rows = [{"condition": condition, **values} for condition, values in (embeddings.get("conditions") or {}).items()]
    if not single and not rows:
        return ""
    shown = facts({_label(key, results): percent(value) if key == "found" else number(value) for key, value in single.items()})
    shown += table("Embeddings at each condition", _columns(rows, results), rows) if rows else ""
    return (
        "<p>How far a copy moves from its original (distance; alignment is its square on the unit sphere, 0 for no move), and the share of"
        f" copies that find their original among the nearest 1, 5 or 10 (R@k).</p>{shown}"
    )


def _scatter(results: Mapping[str, Any]) -> str:
    drawn = (results.get("embeddings") or {}).get("scatter")
    if not drawn:
        return ""
    families = {row["condition"]: row.get("family", ORIGINAL) for row in results["rows"]}
    drawn_families = [families.get(condition, condition) for condition in drawn["conditions"]]
    styles = family_styles([*families.values(), *drawn_families])  # the colours of the curves
    shares = [*(drawn.get("explained") or []), None, None][:2]
    return (
        f"<p>{len(drawn['points'])} photographs on the two main axes of the originals, which hold {percent(shares[0])} and"
        f" {percent(shares[1])} of their variance. Thin lines run from an original to its copies:"
        " short ones mean that degradation changes little.</p>"
        f"{legend({name: styles[name] for name in drawn_families})}"
        f"{scatter(drawn['points'], drawn['conditions'], families, styles, shares)}"
    )


def _gallery(gallery: Sequence[GalleryEntry]) -> str:
    if not gallery:
        return ""
    return (
        "<p>The photographs that lose the most CIDEr when degraded come first, worst first, then those that lose the least. Each is"
        " shown as the encoder saw it, with its caption and that caption's CIDEr. Where there is attention, a word's place is bright and"
        f" the rest dark, at the original and at the photograph's worst condition.</p>{''.join(map(card, gallery))}"
    )


def _health(results: Mapping[str, Any]) -> str:
    rows = results.get("health")
    if not rows:
        return ""
    unseen = results.get("reference_words_unseen")
    compared = f" Of the references' words, training captions lack {percent(unseen)}." if is_finite(unseen) else ""
    return (
        "<p>Whether captions vary: a captioner that says the same of every photograph has few different captions, and a common one with"
        f" a large share.{compared}</p>{table('Captions at each condition', _columns(rows, results), rows)}"
    )


def _cost(results: Mapping[str, Any]) -> str:
    cost = results.get("cost")
    if not cost:
        return ""
    pairs = {key.replace("_", " "): quantity(value) for key, value in cost.items()}
    return (
        "<p>What a caption costs, as counted or measured on this machine, and what training took where its log tells. A multiplication"
        f" and an addition are two operations (flops).</p>{facts(pairs)}"
    )


def _protocol(results: Mapping[str, Any]) -> str:
    versions = {key: escape(value) for key, value in (results.get("versions") or {}).items()}
    protocol = escape(results["protocol"]).replace("|", "|<wbr>") if results.get("protocol") else DASH
    return (
        "<p>Scores may be compared with others only when their protocol lines are equal.</p>"
        f"<p><code>{protocol}</code></p>{facts(versions) if versions else ''}"
    )
