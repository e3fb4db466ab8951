"""report.html: one captioner over a ladder of resolutions, in a single file that needs no network and runs no script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from soli.evaluation.charts import ORIGINAL, curves, family_styles, legend, scatter
from soli.evaluation.report_parts import (
    DASH,
    LABELS,
    GalleryEntry,
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
from soli.evaluation.report_style import STYLE
from soli.evaluation.summary import INSIDE
from soli.evaluation.writing import write_whole

NO_SCORES = (*INSIDE, "condition", "pixels", "drop", "distinct", "distance")


def write_report(path: Path, results: Mapping[str, Any], gallery: Sequence[GalleryEntry]) -> None:
    """The page of `report_page` as a file; an earlier one is there until the new one is complete.

    Raises OSError when the file cannot be written.
    """
    write_whole(path, report_page(results, gallery))


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
    columns = _columns(rows, results, INSIDE)
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
    compared = f" {percent(unseen)} of the words in the references are in no training caption." if is_finite(unseen) else ""
    return (
        "<p>Whether captions vary: a captioner that says the same of every photograph has few different captions, and a common one with"
        f" a large share.{compared}</p>{table('Captions at each condition', _columns(rows, results), rows)}"
    )


def _cost(results: Mapping[str, Any]) -> str:
    cost = results.get("cost")
    if not cost:
        return ""
    pairs = {LABELS.get(key, key.replace("_", " ")): quantity(value) for key, value in cost.items()}
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
