"""Figures drawn as <svg> elements for a page: colours are its variables, so that they follow its light or dark."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from markupsafe import Markup

from kdharness.report.figures import Figure, Gain, GainFigure, Mark, OutputFigure, OutputPoint, span
from kdharness.report.sections.grid import count_text

PLOT_WIDTH, ROW_HEIGHT, RIGHT = 360, 22, 70
# Names stand left of a gain, each letter about so wide; a longer one ends in an ellipsis, and is whole in its tooltip.
LETTER_WIDTH, MOST_LETTERS = 6.6, 60
PLOT_HEIGHT, LEFT, TOP, BELOW = 220, 52, 20, 40
TICKS = 6

ACCENT, LINE, BAD = "var(--accent)", "var(--line)", "var(--bad)"


def as_svg(figure: Figure) -> Markup:
    """The figure as an element to stand in a page. Names are escaped."""
    if isinstance(figure, GainFigure):
        return _gains(figure)
    if isinstance(figure, OutputFigure):
        return _outputs(figure)
    raise TypeError(f"cannot draw a {type(figure).__name__}")


def _gains(figure: GainFigure) -> Markup:
    gains = figure.gains
    low, high = span([n for gain in gains for n in (gain.points, gain.low, gain.high)], 0.0)
    left = 24 + round(LETTER_WIDTH * max((len(_shortened(gain.name)) for gain in gains), default=0))
    width, height = left + PLOT_WIDTH + RIGHT, ROW_HEIGHT * len(gains) + 24
    axis = _Axis(low, high, left, left + PLOT_WIDTH)
    parts = [
        _line(axis.at(0.0), axis.at(0.0), 4, height - 22, LINE),
        _text(left, height - 6, figure.label, kind="axis"),
    ]
    for i, gain in enumerate(gains):
        parts += _gain(gain, ROW_HEIGHT * (i + 0.5), axis, left, width)
    return _element(width, height, figure.label, parts)


def _gain(gain: Gain, y: float, axis: _Axis, left: float, width: float) -> Iterator[Markup]:
    yield _text(left - 14, y + 4, _shortened(gain.name), "end", tooltip=gain.name)
    if not math.isnan(gain.low):
        yield _line(axis.at(gain.low), axis.at(gain.high), y, y, kind="interval")
    yield _dot(axis.at(gain.points), y, ACCENT)
    yield _text(width - 4, y + 4, f"{gain.points:+.2f}", "end", "axis")


def _outputs(figure: OutputFigure) -> Markup:
    """Top-1 over operations. Both axes begin and end a little beyond the points."""
    points = figure.points
    halves = [0.0 if math.isnan(point.half) else point.half for point in points]
    low, high = span([p.top1 + sign * half for p, half in zip(points, halves, strict=True) for sign in (-1, 1)])
    across = _Axis(*_wider(*span([p.macs for p in points])), LEFT, LEFT + PLOT_WIDTH)
    up = _Axis(*_wider(low, high), TOP + PLOT_HEIGHT, TOP)
    width, height = LEFT + PLOT_WIDTH + RIGHT, TOP + PLOT_HEIGHT + BELOW
    parts = [*_frame(figure, across, up), *_joined(points, across, up)]
    for point, half in zip(points, halves, strict=True):
        parts += _output(point, half, across, up)
    return _element(width, height, figure.title, parts)


def _frame(figure: OutputFigure, across: _Axis, up: _Axis) -> Iterator[Markup]:
    """Ticks and labels of both axes. The upper label stands above its axis, for turned text is hard to read."""
    bottom, right = TOP + PLOT_HEIGHT, LEFT + PLOT_WIDTH
    for value in _ticks(up.low, up.high):
        yield _line(LEFT, right, up.at(value), up.at(value), LINE)
        yield _text(LEFT - 6, up.at(value) + 4, f"{value:g}", "end", "axis")
    for value in _ticks(across.low, across.high):
        yield _line(across.at(value), across.at(value), bottom, bottom + 4, LINE)
        yield _text(across.at(value), bottom + 17, count_text(value), "middle", "axis")
    yield _text(LEFT, bottom + 34, figure.x_label, kind="axis")
    yield _text(4, TOP - 5, figure.y_label, kind="axis")


def _joined(points: Iterable[OutputPoint], across: _Axis, up: _Axis) -> Iterator[Markup]:
    """A line through the outputs that stand for themselves."""
    exits = [point for point in points if point.mark is Mark.EXIT]
    if len(exits) > 1:
        corners = " ".join(f"{across.at(point.macs)},{up.at(point.top1)}" for point in exits)
        yield Markup('<polyline points="{}" fill="none" stroke="{}" opacity="0.45"/>').format(corners, ACCENT)


def _output(point: OutputPoint, half: float, across: _Axis, up: _Axis) -> Iterator[Markup]:
    x, y, plain = across.at(point.macs), up.at(point.top1), point.mark is Mark.PLAIN
    colour = BAD if plain else ACCENT
    if half:
        yield _line(x, x, up.at(point.top1 - half), up.at(point.top1 + half), colour)
    yield _dot(x, y, colour)
    # The plain student's name stands below its point: it often lies beside an output.
    yield _text(x + 7, y + (15 if plain else -6), point.name, tooltip=f"{point.name}: {point.top1:.2f} %")


class _Axis:
    """From numbers to pixels. low, high: what lies at the pixels `start` and `end`."""

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        self.low, self.high, self.start = low, high, start
        self.scale = (end - start) / ((high - low) or 1.0)

    def at(self, value: float) -> float:
        return float(round(self.start + (value - self.low) * self.scale, 1))


def _wider(low: float, high: float) -> tuple[float, float]:
    """The range, wider by a sixth on either side, so that names have room. One value alone gets some room too."""
    room = (high - low) / 6 or abs(high) / 6 or 1.0
    return low - room, high + room


def _ticks(low: float, high: float) -> list[float]:
    """At most TICKS round numbers between them, evenly spaced."""
    rough = (high - low) / TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(size * power for size in (1, 2, 5, 10) if size * power >= rough)
    first = math.ceil(low / step)
    return [round(step * (first + i), 12) for i in range(math.floor(high / step) - first + 1)]


def _element(width: float, height: float, label: str, parts: Iterable[Markup]) -> Markup:
    start = Markup('<svg viewBox="0 0 {} {}" width="{}" role="img" aria-label="{}">').format(
        width, height, width, label
    )
    return Markup("\n").join([start, *parts, Markup("</svg>")])


def _line(x1: float, x2: float, y1: float, y2: float, stroke: str = "", kind: str = "") -> Markup:
    style = Markup('class="{}"').format(kind) if kind else Markup('stroke="{}"').format(stroke)
    return Markup('<line x1="{}" x2="{}" y1="{}" y2="{}" {}/>').format(x1, x2, y1, y2, style)


def _dot(x: float, y: float, fill: str) -> Markup:
    return Markup('<circle cx="{}" cy="{}" r="4" fill="{}"/>').format(x, y, fill)


def _text(x: float, y: float, text: str, anchor: str = "", kind: str = "", tooltip: str = "") -> Markup:
    about = Markup(' class="{}"').format(kind) if kind else ""
    where = Markup(' text-anchor="{}"').format(anchor) if anchor else ""
    title = Markup("\n<title>{}</title>").format(tooltip) if tooltip else ""
    return Markup('<text{} x="{}" y="{}"{}>{}{}</text>').format(about, x, y, where, text, title)


def _shortened(name: str) -> str:
    return name if len(name) <= MOST_LETTERS else name[: MOST_LETTERS - 1] + "…"
