"""Gains with their intervals, one below the other."""

from __future__ import annotations

import math
from collections.abc import Iterator

from markupsafe import Markup

from kdharness.report.drawing.axes import PLOT_WIDTH, RIGHT, Axis, usual_span
from kdharness.report.drawing.elements import ACCENT, LETTER_WIDTH, LINE, dot, element, line, shortened, text_at
from kdharness.report.figures import Gain, GainFigure

ROW_HEIGHT = 22
# Half a page holds a drawing of this width: a page draws it by a fifth smaller, and no more.
HALF_PAGE = 544 / 0.8


def gains(figure: GainFigure) -> Markup:
    shown = figure.gains
    low, high = usual_span([n for gain in shown for n in (gain.points, gain.low, gain.high)], 0.0)
    left = _left(figure)
    width, height = left + PLOT_WIDTH + RIGHT, ROW_HEIGHT * len(shown) + 24
    axis = Axis(low, high, left, left + PLOT_WIDTH)
    parts = [
        line(axis.at(0.0), axis.at(0.0), 4, height - 22, LINE),
        text_at(left, height - 6, figure.label, kind="axis"),
    ]
    for i, gain in enumerate(shown):
        parts += _gain(gain, ROW_HEIGHT * (i + 0.5), axis, left, width)
    return element(width, height, figure.title, parts)


def is_wide(figure: GainFigure) -> bool:
    """Whether its names leave half a page no room for the gains."""
    return _left(figure) + PLOT_WIDTH + RIGHT > HALF_PAGE


def _left(figure: GainFigure) -> int:
    """Where the plot begins, right of the names."""
    return 24 + round(LETTER_WIDTH * max((len(shortened(gain.name)) for gain in figure.gains), default=0))


def _gain(gain: Gain, y: float, axis: Axis, left: float, width: float) -> Iterator[Markup]:
    """The name stands left of it, whole in its tooltip."""
    yield text_at(left - 14, y + 4, shortened(gain.name), "end", tooltip=gain.name)
    if not math.isnan(gain.low):
        yield line(axis.inside(gain.low), axis.inside(gain.high), y, y, kind="interval")
    # What lies beyond the axis has an arrow in place of its dot.
    beyond = "" if axis.holds(gain.points) else "◀" if gain.points < axis.low else "▶"
    yield text_at(axis.inside(gain.points), y + 4, beyond, "middle") if beyond else dot(axis.at(gain.points), y, ACCENT)
    yield text_at(width - 4, y + 4, f"{gain.points:+.2f}", "end", "axis")
