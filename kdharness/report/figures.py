"""What a report draws, as numbers: positions and colours are the business of what draws it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True)
class Figure:
    """title: the setting and what is shown of it. deviations: how its runs depart from their benchmark, '' for none."""

    title: str
    deviations: str


@dataclass(frozen=True)
class Gain:
    """A gain in points, and its interval (NaN without one)."""

    name: str
    points: float
    low: float
    high: float


@dataclass(frozen=True)
class GainFigure(Figure):
    """Gains over one reference, one below the other."""

    label: str
    gains: tuple[Gain, ...]


def with_interval(what: str, gains: Iterable[Gain]) -> str:
    """'points over kd, 95 % interval' where some gain has one."""
    return f"{what}, 95 % interval" if any(not math.isnan(gain.low) for gain in gains) else what


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
class OutputFigure(Figure):
    """Accuracy against compute of one method's outputs, by their macs; the plain student last, where there is one."""

    points: tuple[OutputPoint, ...]
    x_label: str = "multiply-accumulates for one image"
    y_label: str = "top-1 on test, %"


@dataclass(frozen=True)
class Point:
    """A method by two of its numbers. low, high: the interval of y, NaN without one. marked: whether it stands out."""

    name: str
    x: float
    y: float
    low: float = math.nan
    high: float = math.nan
    marked: bool = False


@dataclass(frozen=True)
class PointFigure(Figure):
    """Methods as points. mark: what the marked ones are, '' where none is meant to be; those are joined by steps."""

    x_label: str
    y_label: str
    points: tuple[Point, ...]
    mark: str = ""


@dataclass(frozen=True)
class Curve:
    """A method's mean over its seeds, epoch by epoch, and the ends of its band (NaN where there is none)."""

    name: str
    seeds: int
    epochs: tuple[int, ...]
    means: tuple[float, ...]
    lows: tuple[float, ...]
    highs: tuple[float, ...]


@dataclass(frozen=True)
class CurveFigure(Figure):
    """How methods learned. band: what the bands are. reference: the name of the curve to compare with, '' for none."""

    y_label: str
    band: str
    curves: tuple[Curve, ...]
    reference: str = ""
    x_label: str = "epoch"


@dataclass(frozen=True)
class HeatCell:
    """A gain in points, NaN where it was not measured. settled: whether its verdict is better or worse."""

    points: float
    settled: bool = False


@dataclass(frozen=True)
class HeatFigure(Figure):
    """Gains of methods (rows) on pairs (columns)."""

    label: str
    methods: tuple[str, ...]
    pairs: tuple[str, ...]
    cells: tuple[tuple[HeatCell, ...], ...]


@dataclass(frozen=True)
class ReliabilityBin:
    """Images whose largest probability lies in one interval: its mean, how many of them are right, their share."""

    confidence: float
    accuracy: float
    share: float


@dataclass(frozen=True)
class Reliability:
    """A method's bins that hold an image, by their confidence; images of all its seeds together."""

    name: str
    seeds: int
    bins: tuple[ReliabilityBin, ...]


@dataclass(frozen=True)
class ReliabilityFigure(Figure):
    """How often methods are right where they are so sure: on the diagonal they know it."""

    methods: tuple[Reliability, ...]
    x_label: str = "mean confidence of a bin"
    y_label: str = "share that is right"


@dataclass(frozen=True)
class Profile:
    """A method's shares, one for each distance of its figure."""

    name: str
    shares: tuple[float, ...]


@dataclass(frozen=True)
class ProfileFigure(Figure):
    """In which share of the blocks methods are so near to the best: the higher and the sooner, the better.

    within: the distances, ascending from 0. reference: the name of the profile to compare with, '' for none.
    """

    x_label: str
    within: tuple[float, ...]
    profiles: tuple[Profile, ...]
    reference: str = ""
    y_label: str = "share of the blocks"


def span(values: Sequence[float], *always: float) -> tuple[float, float]:
    """The least and the largest of the values that are numbers and of those that must be seen."""
    known = [value for value in (*values, *always) if not math.isnan(value)]
    return min(known), max(known)
