"""Accuracy against compute of a method's outputs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from markupsafe import Markup

from kdharness.report.drawing.axes import HEIGHT, LEFT, PLOT_WIDTH, WIDTH, Axis, frame, upward, wider
from kdharness.report.drawing.elements import ACCENT, BAD, dot, element, line, path_of, text_at
from kdharness.report.figures import Mark, OutputFigure, OutputPoint, span

NEAR = 40  # so far a name may reach another's


def outputs(figure: OutputFigure) -> Markup:
    """Top-1 over operations. Both axes begin and end a little beyond the points."""
    points = figure.points
    halves = [0.0 if math.isnan(point.half) else point.half for point in points]
    low, high = span([p.top1 + sign * half for p, half in zip(points, halves, strict=True) for sign in (-1, 1)])
    x_axis = Axis(*wider(*span([p.macs for p in points])), LEFT, LEFT + PLOT_WIDTH)
    y_axis = upward(low, high)
    parts = list(frame(x_axis, y_axis, figure.x_label, figure.y_label))
    exits = [(x_axis.at(p.macs), y_axis.at(p.top1)) for p in points if p.mark is Mark.EXIT]
    if len(exits) > 1:  # outputs that stand for themselves
        parts.append(path_of(exits, "joined"))
    drawn = [(x_axis.at(p.macs), y_axis.at(p.top1)) for p in points]
    for point, half in zip(points, halves, strict=True):
        parts += _output(point, half, drawn, x_axis, y_axis)
    return element(WIDTH, HEIGHT, figure.title, parts)


def _output(
    point: OutputPoint, half: float, drawn: Sequence[tuple[float, float]], x_axis: Axis, y_axis: Axis
) -> Iterator[Markup]:
    x, y, plain = x_axis.at(point.macs), y_axis.at(point.top1), point.mark is Mark.PLAIN
    colour = BAD if plain else ACCENT
    if half:
        yield line(x, x, y_axis.at(point.top1 - half), y_axis.at(point.top1 + half), colour)
    yield dot(x, y, colour)
    # The plain student often lies beside an output: their names stand on the sides that are turned away.
    near = [up - y for across, up in drawn if abs(across - x) < NEAR and 0 < abs(up - y) < NEAR]
    below = sum(distance > 0 for distance in near) < len(near) / 2 if near else plain
    yield text_at(x + 7, y + (15 if below else -6), point.name, tooltip=f"{point.name}: {point.top1:.2f} %")
