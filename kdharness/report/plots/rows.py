"""Methods one below the other: gains with their intervals, and a map of gains by pair."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure as Drawn

from kdharness.report.figures import Gain, GainFigure, HeatFigure
from kdharness.report.plots.style import ACCENT, GREY, SMALL, name_of, robust_span, title_of
from kdharness.text import printable

WIDTH, ROW, AROUND = 6.4, 0.185, 1.0  # inches
CELL, NAMES = 0.85, 2.6
COLOURS_OF_GAINS = "PuOr_r"  # orange for gains, violet for losses: told apart by everybody
DARK = 0.62  # of the range, from which letters are white


def gains(figure: GainFigure) -> Drawn:
    """A forest plot: in colour the intervals that do not hold zero."""
    count = len(figure.gains)
    drawn = Drawn(figsize=(WIDTH, AROUND + ROW * max(count, 1)), layout="constrained")
    axes = drawn.add_subplot()
    axes.axvline(0.0, color=GREY, linewidth=1)
    for place, gain in enumerate(figure.gains):
        known = not math.isnan(gain.low)
        colour = ACCENT if known and (gain.low > 0 or gain.high < 0) else GREY
        if known:
            axes.plot([gain.low, gain.high], [place, place], color=colour, linewidth=1.6)
        axes.plot([gain.points], [place], "o", color=colour, markersize=4.5)
    axes.set_yticks(range(count), [name_of(gain.name) for gain in figure.gains])
    axes.set_ylim(count - 0.4, -0.6)
    if count:
        axes.set_xlim(*_ends(figure.gains))
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(printable(figure.label))
    axes.set_title(title_of(figure.title, figure.deviations), loc="left")
    return drawn


def _ends(found: tuple[Gain, ...]) -> tuple[float, float]:
    values = [gain.points for gain in found]
    return robust_span([0.0, *values], [(gain.high - gain.low) / 2 for gain in found])


def heat(figure: HeatFigure) -> Drawn:
    """Each gain as a number on its colour; bold where its verdict is better or worse."""
    values = np.array([[cell.points for cell in row] for row in figure.cells], dtype=float)
    size = (NAMES + CELL * len(figure.pairs), 1.6 + ROW * 1.25 * len(figure.methods))
    drawn = Drawn(figsize=size, layout="constrained")
    axes = drawn.add_subplot()
    known = np.abs(values[~np.isnan(values)])
    most = (float(np.quantile(known, 0.95)) if known.size else 0.0) or 1.0
    scale = Normalize(-most, most, clip=True)
    image = axes.imshow(np.ma.masked_invalid(values), cmap=COLOURS_OF_GAINS, norm=scale, aspect="auto")
    axes.set_xticks(range(len(figure.pairs)), [name_of(pair) for pair in figure.pairs], rotation=30, ha="right")
    axes.set_yticks(range(len(figure.methods)), [name_of(method) for method in figure.methods])
    axes.grid(visible=False)
    axes.tick_params(length=0)
    for (row, column), value in np.ndenumerate(values):
        if not math.isnan(value):
            weight = "bold" if figure.cells[row][column].settled else "normal"
            ink = "white" if abs(value) > DARK * most else "black"
            axes.text(column, row, f"{value:+.2f}", ha="center", va="center", size=SMALL, weight=weight, color=ink)
    drawn.colorbar(image, ax=axes, label=printable(figure.label), shrink=min(1.0, 3 / size[1]))
    axes.set_title(title_of(figure.title, figure.deviations), loc="left")
    return drawn
