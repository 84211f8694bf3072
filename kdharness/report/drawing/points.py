"""Methods as points, with the names that there is room for."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from markupsafe import Markup

from kdharness.report.drawing.axes import HEIGHT, LEFT, WIDTH, Y_LABEL_AT, Axis, across, frame, upward, usual_span
from kdharness.report.drawing.elements import (
    ACCENT,
    DIM,
    LETTER_WIDTH,
    dot,
    element,
    line,
    path_of,
    shortened,
    text_at,
)
from kdharness.report.figures import Point, PointFigure, span

MOST_LETTERS = 24
LINE_HEIGHT, GAP = 13, 3  # of a name, and left and right of it

# Left, right, top and bottom of what is taken.
Box = tuple[float, float, float, float]


def points(figure: PointFigure) -> Markup:
    """Marked ones stand out and are joined; each has its name and numbers in a tooltip."""
    shown = figure.points
    x_axis, y_axis = across(*span([p.x for p in shown])), upward(*usual_span(p.y for p in shown))
    parts = list(frame(x_axis, y_axis, figure.x_label, figure.y_label))
    front = [(x_axis.at(p.x), y_axis.inside(p.y)) for p in shown if p.marked]
    if len(front) > 1:
        parts.append(path_of(_steps(front), "joined"))
    for point in sorted(shown, key=lambda point: point.marked):
        parts += _point(point, bool(figure.mark) and not point.marked, x_axis, y_axis)
    parts += _names(shown, x_axis, y_axis)
    return element(WIDTH, HEIGHT, figure.title, parts)


def _steps(front: Sequence[tuple[float, float]]) -> Iterator[tuple[float, float]]:
    """What is reached at each cost stays reached until the next."""
    for place, (x, y) in enumerate(front):
        if place:
            yield x, front[place - 1][1]
        yield x, y


def _point(point: Point, is_dim: bool, x_axis: Axis, y_axis: Axis) -> Iterator[Markup]:
    """What lies beyond the axis stands at its end as an arrow."""
    x, y = x_axis.at(point.x), y_axis.inside(point.y)
    if not math.isnan(point.low):
        low, high = y_axis.inside(point.low), y_axis.inside(point.high)
        yield line(x, x, low, high, kind="whisker")
    words = f"{point.name}: {point.x:.4g}, {point.y:.4g}"
    if y_axis.holds(point.y):
        yield dot(x, y, DIM if is_dim else ACCENT, words, 3 if is_dim else 4)
    else:
        yield text_at(x, y + 4, "▼" if point.y < y_axis.low else "▲", "middle", "axis", words)


def _names(shown: Sequence[Point], x_axis: Axis, y_axis: Axis) -> Iterator[Markup]:
    """Of the marked ones and then of the highest, each where no other name or point is in its way."""
    places = [(x_axis.at(p.x), y_axis.inside(p.y)) for p in shown]
    taken: list[Box] = [(x - 4, x + 4, y - 4, y + 4) for x, y in places]
    taken.append((0, WIDTH, 0, Y_LABEL_AT + 3))
    taken += [(0, LEFT - 4, y_axis.at(tick) - 6, y_axis.at(tick) + 6) for tick in y_axis.ticks]
    order = sorted(range(len(shown)), key=lambda i: (not shown[i].marked, -shown[i].y))
    for i in order:
        x, y = places[i]
        name = shortened(shown[i].name, MOST_LETTERS)
        width = LETTER_WIDTH * len(name)
        for left, baseline, anchor in ((x + 7, y + 4, ""), (x - 7 - width, y + 4, "end"), (x + 4, y - 7, "")):
            box = (left - GAP, left + width + GAP, baseline - LINE_HEIGHT + 3, baseline + 3)
            if box[0] >= 0 and box[1] <= WIDTH and not any(_meet(box, other) for other in taken):
                taken.append(box)
                yield text_at(left + width if anchor else left, baseline, name, anchor)
                break


def _meet(one: Box, other: Box) -> bool:
    return one[0] < other[1] and other[0] < one[1] and one[2] < other[3] and other[2] < one[3]
