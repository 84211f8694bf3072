"""What a report draws, as numbers: positions and colours are the business of what draws it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True)
class Gain:
    """A gain in points, and its interval (NaN without one)."""

    name: str
    points: float
    low: float
    high: float


@dataclass(frozen=True)
class GainFigure:
    """Gains over one reference, one below the other."""

    label: str
    gains: tuple[Gain, ...]


class Mark(StrEnum):
    """What a point of an OutputFigure is. EXIT: an output of its own; those are joined by a line."""

    EXIT = "exit"
    ENSEMBLE = "ensemble"
    PLAIN = "plain"


@dataclass(frozen=True)
class OutputPoint:
    """Top-1 in percent against multiply-accumulates for one image. half: of the top-1's interval, NaN without one."""

    mark: Mark
    name: str
    macs: float
    top1: float
    half: float


@dataclass(frozen=True)
class OutputFigure:
    """Accuracy against compute of one method's outputs, by their macs; the plain student last, where there is one."""

    title: str
    deviations: str
    points: tuple[OutputPoint, ...]
    x_label: str = "multiply-accumulates for one image"
    y_label: str = "top-1 on test, %"


Figure = GainFigure | OutputFigure


def span(values: Sequence[float], *always: float) -> tuple[float, float]:
    """The least and the largest of the values that are numbers and of those that must be seen."""
    known = [value for value in (*values, *always) if not math.isnan(value)]
    return min(known), max(known)
