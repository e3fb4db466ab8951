"""effects.png: for each factor the mean score of its values, a line a round, and every run as a dot."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from orthogonal.factors import Factor, Range
from orthogonal.search import Outcome

COLOURS = ("#1f5fa8", "#d1661a", "#2d8a4e", "#8a4fa3", "#777777")


def draw_effects(outcomes: Sequence[Outcome], path: Path, score_name: str) -> None:
    """A panel a factor, all with the same scores, in the order of the first round."""
    factors = outcomes[0].round.factors
    columns = min(4, len(factors))
    rows = math.ceil(len(factors) / columns)
    figure = Figure(figsize=(3.1 * columns + 0.6, 2.7 * rows + 0.7), layout="constrained")
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False)
    for place, panel in enumerate(panels.flat):
        if place >= len(factors):
            panel.set_axis_off()
            continue
        _draw_factor(panel, factors[place], outcomes)
        if place % columns == 0:
            panel.set_ylabel("score")
    handles = {label: handle for panel in panels.flat for handle, label in zip(*panel.get_legend_handles_labels())}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=len(handles), frameon=False)
    figure.suptitle(f"Mean {score_name} at each value (dots: runs)", fontsize=11)
    figure.savefig(path, dpi=120)


def _draw_factor(panel: Any, factor: Factor, outcomes: Sequence[Outcome]) -> None:
    """One panel. Places are values, or for choices their number in the first round."""
    is_range = isinstance(factor, Range)
    for outcome, colour in zip(outcomes, COLOURS * len(outcomes)):
        effect = next((effect for effect in outcome.effects if effect.key == factor.key), None)
        if effect is None:  # decided in an earlier round
            continue
        place = {value: float(value) if is_range else factor.choices.index(value) for value in effect.means}
        dots = [place[row[factor.key]] for row in outcome.round.rows]
        panel.plot(dots, outcome.means, ".", color=colour, alpha=0.35, markersize=6)
        panel.plot(list(place.values()), list(effect.means.values()), "o-", color=colour, label=f"round {outcome.round.number}")
    panel.set_title(_short(factor.key), fontsize=9)
    panel.grid(alpha=0.3)
    panel.tick_params(labelsize=8)
    if is_range:
        if factor.logarithmic:
            panel.set_xscale("log")
        first = [effect for effect in outcomes[0].effects if effect.key == factor.key]
        ticks = [factor.low, *(float(value) for effect in first for value in effect.means), factor.high]
        panel.set_xticks(ticks, [f"{tick:.3g}" for tick in ticks])
        panel.minorticks_off()
        panel.set_xlim(factor.low, factor.high)
    else:
        panel.set_xticks(range(len(factor.choices)), [_short(choice, 16) for choice in factor.choices])
        panel.set_xlim(-0.5, len(factor.choices) - 0.5)


def _short(text: str, most: int = 34) -> str:
    """The last parts of a long key, which tell keys apart, or the end of another long text."""
    if len(text) <= most:
        return text
    parts = text[-most:].partition(".")
    return f"...{parts[2] or text[-most:]}"
