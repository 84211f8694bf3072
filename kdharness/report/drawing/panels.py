"""Small drawings of one kind, one for each method, on the same axes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from markupsafe import Markup

from kdharness.report.drawing.axes import Axis, tick_text, usual_span
from kdharness.report.drawing.elements import ACCENT, LINE, area_of, breakable, dot, element, line, path_of, text_at
from kdharness.report.figures import (
    Curve,
    CurveFigure,
    Profile,
    ProfileFigure,
    Reliability,
    ReliabilityFigure,
    span,
)

WIDTH, HEIGHT = 190, 120
LEFT, RIGHT, TOP, BOTTOM = 40, 184, 6, 102
MOST_LETTERS = 5  # of a number left of its axis
Places = Sequence[tuple[float, float]]
# A curve of more epochs is drawn through so many of them.
MOST_EPOCHS = 120


def curves(figure: CurveFigure) -> Markup:
    """Each curve with its band; that of the reference, dashed, beside all others."""
    first, last = span([float(epoch) for curve in figure.curves for epoch in (curve.epochs[0], curve.epochs[-1])])
    x_axis = Axis(first, last, LEFT, RIGHT)
    least, most = (usual_span(end(curve.means) for curve in figure.curves) for end in (min, max))
    y_axis = Axis(least[0], most[1], BOTTOM, TOP)
    beside = next((curve for curve in figure.curves if curve.name == figure.reference), None)
    return _panels((curve.name, _curve(figure, curve, beside, x_axis, y_axis)) for curve in figure.curves)


def _curve(figure: CurveFigure, curve: Curve, beside: Curve | None, x_axis: Axis, y_axis: Axis) -> Markup:
    kept = _kept(len(curve.epochs))
    xs = [x_axis.at(curve.epochs[i]) for i in kept]
    parts = [*_frame(x_axis, y_axis)]
    bands = groupby(zip(xs, kept, strict=True), key=lambda each: math.isnan(curve.lows[each[1]]))
    for is_without, run in bands:
        if not is_without:
            parts.append(area_of(_band(curve, list(run), y_axis), "band"))
    if beside is not None and beside is not curve:
        parts.append(path_of(_line(beside, x_axis, y_axis), "beside"))
    parts.append(path_of(_line(curve, x_axis, y_axis), "curve"))
    ends = f"{curve.means[0]:.4g} at epoch {curve.epochs[0]}, {curve.means[-1]:.4g} at epoch {curve.epochs[-1]}"
    label = f"{curve.name}: {figure.y_label}, {ends}, mean of {curve.seeds}"
    return element(WIDTH, HEIGHT, label, parts, "panel")


def _line(curve: Curve, x_axis: Axis, y_axis: Axis) -> Iterator[tuple[float, float]]:
    return ((x_axis.at(curve.epochs[i]), y_axis.inside(curve.means[i])) for i in _kept(len(curve.epochs)))


def _band(curve: Curve, run: Sequence[tuple[float, int]], y_axis: Axis) -> Iterator[tuple[float, float]]:
    yield from ((x, y_axis.inside(curve.highs[i])) for x, i in run)
    yield from ((x, y_axis.inside(curve.lows[i])) for x, i in reversed(run))


def _kept(epochs: int) -> list[int]:
    """Places of the epochs that are drawn: evenly spaced, the first and the last among them."""
    if epochs <= MOST_EPOCHS:
        return list(range(epochs))
    return [round(i * (epochs - 1) / (MOST_EPOCHS - 1)) for i in range(MOST_EPOCHS)]


def reliabilities(figure: ReliabilityFigure) -> Markup:
    """Each method's bins by their confidence; on the diagonal a method is right as often as it is sure."""
    x_axis, y_axis = Axis(0.0, 1.0, LEFT, RIGHT), Axis(0.0, 1.0, BOTTOM, TOP)
    return _panels((method.name, _reliability(method, x_axis, y_axis)) for method in figure.methods)


def _reliability(method: Reliability, x_axis: Axis, y_axis: Axis) -> Markup:
    parts = [*_frame(x_axis, y_axis), path_of([(LEFT, BOTTOM), (RIGHT, TOP)], "beside")]
    places = [(x_axis.at(one.confidence), y_axis.at(one.accuracy)) for one in method.bins]
    parts.append(path_of(places, "curve"))
    for (x, y), one in zip(places, method.bins, strict=True):
        words = f"confidence {one.confidence:.2f}, right {one.accuracy:.2f}, {one.share:.1%} of the images"
        parts.append(dot(x, y, ACCENT, words, radius=round(1.5 + 4 * math.sqrt(one.share), 1)))
    gap = sum(one.share * abs(one.accuracy - one.confidence) for one in method.bins)
    label = f"{method.name}: share that is right by confidence, in {len(method.bins)} bins, {gap:.3f} apart on average"
    return element(WIDTH, HEIGHT, label, parts, "panel")


def profiles(figure: ProfileFigure) -> Markup:
    """Each method's shares by distance; that of the reference, dashed, beside all others."""
    x_axis, y_axis = Axis(0.0, figure.within[-1], LEFT, RIGHT), Axis(0.0, 1.0, BOTTOM, TOP)
    lines = {
        one.name: [(x_axis.at(x), y_axis.at(y)) for x, y in zip(figure.within, one.shares, strict=True)]
        for one in figure.profiles
    }
    beside = lines.get(figure.reference)
    return _panels(
        (one.name, _profile(figure, one, lines[one.name], beside, x_axis, y_axis)) for one in figure.profiles
    )


def _profile(
    figure: ProfileFigure, one: Profile, places: Places, beside: Places | None, x_axis: Axis, y_axis: Axis
) -> Markup:
    parts = [*_frame(x_axis, y_axis)]
    if beside is not None and beside is not places:
        parts.append(path_of(beside, "beside"))
    parts.append(path_of(places, "curve"))
    ends = f"{one.shares[0]:.0%} at 0, {one.shares[-1]:.0%} at {figure.within[-1]:.3g}"
    return element(WIDTH, HEIGHT, f"{one.name}: {figure.y_label} by {figure.x_label}, {ends}", parts, "panel")


def _frame(x_axis: Axis, y_axis: Axis) -> Iterator[Markup]:
    """The ends of both axes."""
    yield line(LEFT, RIGHT, BOTTOM, BOTTOM, LINE)
    yield line(LEFT, LEFT, TOP, BOTTOM, LINE)
    low = 0.0 if abs(y_axis.low) < (y_axis.high - y_axis.low) / 1000 else y_axis.low
    yield text_at(LEFT - 4, BOTTOM, _short(low), "end", "axis")
    yield text_at(LEFT - 4, TOP + 8, _short(y_axis.high), "end", "axis")
    yield text_at(LEFT, BOTTOM + 13, tick_text(x_axis.low), kind="axis")
    yield text_at(RIGHT, BOTTOM + 13, tick_text(x_axis.high), "end", "axis")


def _short(value: float) -> str:
    """With three digits, or as many as there is room for."""
    texts = [f"{value:.{digits}g}" for digits in (3, 2, 1)]
    return next((text for text in texts if len(text) <= MOST_LETTERS), texts[-1])


def _panels(drawn: Iterable[tuple[str, Markup]]) -> Markup:
    each = (
        Markup('<div class="of-method" data-name="{}"><p>{}</p>\n{}</div>').format(name, breakable(name), drawing)
        for name, drawing in drawn
    )
    return Markup('<div class="panels">\n{}\n</div>').format(Markup("\n").join(each))
