"""Names beside points, such that they do not stand on each other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure as Drawn
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from kdharness.report.plots.style import GREY, SMALL, name_of

# Offsets in points and alignment, in the order in which they are tried; from NEAR on a line leads to the point.
BESIDE = ((7, "left"), (-7, "right"))
STEPS = (3, -9, 13, -19, 24, -30, 36, -42, 50, -56, 64)
NEAR = 15


@dataclass(frozen=True)
class Label:
    """A name for the point at x, y."""

    text: str
    x: float
    y: float


def place_labels(drawn: Drawn, axes: Any, labels: Iterable[Label]) -> None:
    """The highest first; each at the first place that is free, or at the usual one."""
    drawn.draw_without_rendering()  # sizes are known from here on
    taken: list[Bbox] = []
    inside = axes.get_window_extent()
    for label in sorted(labels, key=lambda label: (-label.y, label.x, label.text)):
        made = [_made(axes, label, *place) for place in _places()]
        boxes = [box_of(text) for text in made]
        free = (i for i, box in enumerate(boxes) if _is_free(box, taken, inside))
        chosen = next(free, 0)
        taken.append(boxes[chosen])
        for i, text in enumerate(made):
            if i != chosen:
                text.remove()
    drawn.set_layout_engine("none")  # what is placed stays


def _places() -> list[tuple[int, int, str]]:
    return [(x, step, side) for step in STEPS for x, side in BESIDE]


def _made(axes: Any, label: Label, x: int, y: int, side: str) -> Any:
    line = {"arrowstyle": "-", "color": GREY, "linewidth": 0.5, "shrinkB": 3} if abs(y) >= NEAR else None
    where = (label.x, label.y)
    return axes.annotate(
        name_of(label.text), where, (x, y), textcoords="offset points", ha=side, fontsize=SMALL, arrowprops=line
    )


def box_of(text: Any) -> Bbox:
    """Where an annotation's letters stand, without its line."""
    text.get_window_extent()  # which puts it beside its point
    return Text.get_window_extent(text)


def _is_free(box: Bbox, taken: Iterable[Bbox], inside: Bbox) -> bool:
    within = box.x0 >= inside.x0 and box.x1 <= inside.x1 and box.y0 >= inside.y0
    return within and not any(box.overlaps(other) for other in taken)
