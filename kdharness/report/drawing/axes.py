"""From numbers to places in a drawing."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from kdharness.report.drawing.elements import LINE, line, text_at
from kdharness.report.figures import span
from kdharness.report.sections.grid import count_text

TICKS = 6
FENCE = 3.0
# What lies beyond the fences stays where the others keep at least so much of the drawing.
LEAST_KEPT = 0.25
# Where the largest number is so many times the least, they stand by their logarithms.
LOGARITHMIC_FROM = 12.0
PLOT_WIDTH, PLOT_HEIGHT, LEFT, TOP, BELOW, RIGHT = 360, 220, 52, 32, 40, 70
Y_LABEL_AT = 12  # above everything that stands at the upper end of its axis
WIDTH, HEIGHT = LEFT + PLOT_WIDTH + RIGHT, TOP + PLOT_HEIGHT + BELOW


@dataclass(frozen=True)
class Axis:
    """low, high: what lies at the pixels start and end. is_log: whether equal ways are equal ratios."""

    low: float
    high: float
    start: float
    end: float
    is_log: bool = False

    def at(self, value: float) -> float:
        low, high, value = (math.log10(n) if self.is_log else n for n in (self.low, self.high, value))
        scale = (self.end - self.start) / ((high - low) or 1.0)
        return float(round(self.start + (value - low) * scale, 1))

    def inside(self, value: float) -> float:
        """The place of what lies on the axis, or of its nearer end."""
        return self.at(min(max(value, self.low), self.high))

    def holds(self, value: float) -> bool:
        return self.low <= value <= self.high

    @property
    def ticks(self) -> list[float]:
        return log_ticks(self.low, self.high) if self.is_log else ticks(self.low, self.high)


def usual_span(values: Iterable[float], *always: float) -> tuple[float, float]:
    """The range of what must be seen and of the numbers within Tukey's outer fences: three interquartile ranges beyond
    the middle half: one method that failed would press all others together. Where it would not, all is seen. NaN counts
    nowhere.
    """
    known = np.array([value for value in values if math.isfinite(value)])
    if not known.size:
        return span((), *always) if always else (0.0, 1.0)
    first, third = np.quantile(known, (0.25, 0.75))
    room = FENCE * (third - first)
    usual = known[(known >= first - room) & (known <= third + room)]
    kept, whole = (span([float(each.min()), float(each.max())], *always) for each in (usual, known))
    return whole if kept[1] - kept[0] >= LEAST_KEPT * (whole[1] - whole[0]) else kept


def wider(low: float, high: float) -> tuple[float, float]:
    """The range, wider by a sixth on either side, so that names have room. One value alone gets some room too."""
    room = (high - low) / 6 or abs(high) / 6 or 1.0
    return low - room, high + room


def across(low: float, high: float) -> Axis:
    """The lower axis: by logarithms where the numbers are positive and far apart."""
    if low > 0 and high / low >= LOGARITHMIC_FROM:
        room = (high / low) ** (1 / 6)
        return Axis(low / room, high * room, LEFT, LEFT + PLOT_WIDTH, is_log=True)
    return Axis(*wider(low, high), LEFT, LEFT + PLOT_WIDTH)


def upward(low: float, high: float) -> Axis:
    """The left axis."""
    return Axis(*wider(low, high), TOP + PLOT_HEIGHT, TOP)


def ticks(low: float, high: float) -> list[float]:
    """At most TICKS round numbers between them, evenly spaced."""
    rough = (high - low) / TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(size * power for size in (1, 2, 5, 10) if size * power >= rough)
    first = math.ceil(low / step)
    return [round(step * (first + i), 12) for i in range(math.floor(high / step) - first + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """One, two and five times each power of ten; the powers alone where there are many."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    sizes = (1, 2, 5) if len(powers) < TICKS else (1,)
    found = (float(f"{size}e{power}") for power in powers for size in sizes)
    return [value for value in found if low <= value <= high]


def frame(x_axis: Axis, y_axis: Axis, x_label: str, y_label: str) -> Iterator[Markup]:
    """Ticks and labels of both axes. The upper label stands above its axis, for turned text is hard to read."""
    bottom, right = TOP + PLOT_HEIGHT, LEFT + PLOT_WIDTH
    for value in y_axis.ticks:
        yield line(LEFT, right, y_axis.at(value), y_axis.at(value), LINE)
        yield text_at(LEFT - 6, y_axis.at(value) + 4, f"{value:g}", "end", "axis")
    for value in x_axis.ticks:
        yield line(x_axis.at(value), x_axis.at(value), bottom, bottom + 4, LINE)
        yield text_at(x_axis.at(value), bottom + 17, tick_text(value), "middle", "axis")
    yield text_at(LEFT, bottom + 34, x_label, kind="axis")
    yield text_at(4, Y_LABEL_AT, y_label, kind="axis")


def tick_text(value: float) -> str:
    """'1.2 k' for large ones."""
    return count_text(value) if abs(value) >= 1000 else f"{value:g}"
