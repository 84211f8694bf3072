"""Methods and outputs as points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure as Drawn
from matplotlib.ticker import FuncFormatter, NullFormatter

from kdharness.report.figures import Mark, OutputFigure, Point, PointFigure
from kdharness.report.plots.labels import Label, place_labels
from kdharness.report.plots.style import ACCENT, CONTRAST, GREY, PALE, robust_span, title_of
from kdharness.report.sections.grid import count_text
from kdharness.text import printable

SIZE_INCHES = (6.4, 4.2)
MOST_NAMED, FIRST = 12, 8
LOGARITHMIC = 15  # from this ratio of the largest to the least on


def points(figure: PointFigure) -> Drawn:
    """Marked points in colour, joined by steps; where there are many, the others are grey and have no names."""
    drawn, axes = _axes(figure)
    named = _named(figure)
    for point in figure.points:
        stands_out = point.marked if figure.mark else point in named
        colour = ACCENT if stands_out else GREY if point in named else PALE
        half = (point.high - point.low) / 2 if point in named else math.nan
        _point(axes, point.x, point.y, half, colour, 3 if point in named else 2)
    front = [point for point in figure.points if point.marked]
    if figure.mark and front:
        across, up = [point.x for point in front], [point.y for point in front]
        axes.step(across, up, where="post", color=ACCENT, linewidth=1, label=printable(figure.mark))
        axes.legend(loc="lower right")
    halves = [(point.high - point.low) / 2 for point in figure.points]
    axes.set_ylim(*robust_span([point.y for point in figure.points], halves))
    axes.margins(x=0.12)
    if _is_wide([point.x for point in figure.points]):
        _logarithmic(axes)
    place_labels(drawn, axes, [Label(point.name, point.x, point.y) for point in named])
    return drawn


def _named(figure: PointFigure) -> list[Point]:
    """All, where they are few; else the marked ones, or the first. Others have no interval either."""
    if len(figure.points) <= MOST_NAMED:
        return list(figure.points)
    marked = [point for point in figure.points if point.marked]
    return marked[:MOST_NAMED] if marked else list(figure.points[:FIRST])


def outputs(figure: OutputFigure) -> Drawn:
    """Top-1 (± half its 95 % interval, where there is one) of each output against its operations."""
    drawn, axes = _axes(figure)
    single = [point for point in figure.points if point.mark is Mark.EXIT]
    axes.plot([point.macs for point in single], [point.top1 for point in single], color=PALE, zorder=1)
    for point in figure.points:
        colour = CONTRAST if point.mark is Mark.PLAIN else ACCENT
        _point(axes, point.macs, point.top1, point.half, colour, 3, "s" if point.mark is Mark.PLAIN else "o")
    axes.margins(0.16)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: count_text(value)))
    place_labels(drawn, axes, [Label(point.name, point.macs, point.top1) for point in figure.points])
    return drawn


def _axes(figure: PointFigure | OutputFigure) -> tuple[Drawn, Any]:
    drawn = Drawn(figsize=SIZE_INCHES, layout="constrained")
    axes = drawn.add_subplot()
    axes.set_xlabel(figure.x_label)
    axes.set_ylabel(figure.y_label)
    axes.set_title(title_of(figure.title, figure.deviations), loc="left")
    return drawn, axes


def _point(axes: Any, x: float, y: float, half: float, colour: str, order: int, marker: str = "o") -> None:
    spread = None if math.isnan(half) else [half]
    axes.errorbar([x], [y], yerr=spread, fmt=marker, color=colour, markersize=5, elinewidth=1, capsize=2, zorder=order)


def _is_wide(values: Sequence[float]) -> bool:
    return min(values) > 0 and max(values) / min(values) >= LOGARITHMIC


def _logarithmic(axes: Any) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
