"""What a figure shows as words: how to read it, and its numbers as a table."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from kdharness.report.figures import (
    CurveFigure,
    Figure,
    GainFigure,
    OutputFigure,
    PointFigure,
    ProfileFigure,
    ReliabilityFigure,
)
from kdharness.report.sections.grid import Column, Grid


def reading_of(figure: Figure) -> str:
    """One sentence under a figure; '' where its axes say all."""
    match figure:
        case CurveFigure():
            beside = f"; dashed: {figure.reference}" if figure.reference else ""
            return f"{figure.y_label} by epoch, mean over seeds; band: {figure.band}{beside}. All have the same axes."
        case ReliabilityFigure():
            return (
                f"{figure.y_label} by {figure.x_label}, both from 0 to 1, images of all seeds together. "
                "Below the dashed line a method is surer than it should be; larger dots hold more images."
            )
        case ProfileFigure():
            beside = f" Dashed: {figure.reference}." if figure.reference else ""
            return f"Performance profile: {figure.y_label} in which a method is so near to the best.{beside}"
        case PointFigure():
            parts = [f"Marked and joined: {figure.mark}."] if figure.mark else []
            parts += ["Upright lines are 95 % intervals."] if any(p.low < p.high for p in figure.points) else []
            return " ".join(parts)
    return ""


def numbers_of(figure: Figure) -> Grid | None:
    """What is drawn as a table; None for what is one, or lies in the table above."""
    match figure:
        case GainFigure():
            return _grid(
                ("method", [gain.name for gain in figure.gains]),
                (figure.label, [_with_ends(gain.points, gain.low, gain.high, "+") for gain in figure.gains]),
            )
        case OutputFigure():
            return None
        case PointFigure():
            shown = figure.points
            marks = [("marked", ["yes" if p.marked else "" for p in shown])] if figure.mark else []
            return _grid(
                ("method", [p.name for p in shown]),
                (figure.x_label, [f"{p.x:.4g}" for p in shown]),
                (figure.y_label, [_with_ends(p.y, p.low, p.high) for p in shown]),
                *marks,
            )
        case CurveFigure():
            return _curves(figure)
        case ReliabilityFigure():
            return _reliabilities(figure)
        case ProfileFigure():
            return _profiles(figure)
    return None


def _curves(figure: CurveFigure) -> Grid:
    """Where each curve begins, is half way and ends: all of it is in the cells' history.csv."""
    shown = figure.curves
    places: tuple[tuple[str, Callable[[int], int]], ...] = (
        ("first", lambda n: 0), ("half way", lambda n: n // 2), ("last", lambda n: n - 1),
    )  # fmt: skip
    columns = []
    for name, place in places:
        at = [place(len(curve.epochs)) for curve in shown]
        texts = [
            f"{c.epochs[i]}: {_with_ends(c.means[i], c.lows[i], c.highs[i])}" for c, i in zip(shown, at, strict=True)
        ]
        columns.append((f"{name} epoch", texts))
    return _grid(("method", [curve.name for curve in shown]), ("n", [str(curve.seeds) for curve in shown]), *columns)


def _reliabilities(figure: ReliabilityFigure) -> Grid:
    rows = [(method, one) for method in figure.methods for one in method.bins]
    return _grid(
        ("method", [method.name for method, _ in rows]),
        ("n", [str(method.seeds) for method, _ in rows]),
        (figure.x_label, [f"{one.confidence:.3f}" for _, one in rows]),
        (figure.y_label, [f"{one.accuracy:.3f}" for _, one in rows]),
        ("share of the images", [f"{one.share:.1%}" for _, one in rows]),
    )


def _profiles(figure: ProfileFigure) -> Grid:
    """Five of the distances, the first and the last among them."""
    last = len(figure.within) - 1
    places = dict.fromkeys(round(i * last / 4) for i in range(5))
    shares = [
        (f"<= {figure.within[place]:.3g}", [f"{one.shares[place]:.0%}" for one in figure.profiles]) for place in places
    ]
    return _grid(("method", [one.name for one in figure.profiles]), *shares)


def _with_ends(value: float, low: float, high: float, sign: str = "") -> str:
    text = f"{value:{sign}.4g}"
    return text if math.isnan(low) or low == high else f"{text} ({low:{sign}.4g} to {high:{sign}.4g})"


def _grid(*columns: tuple[str, Iterable[Any]]) -> Grid:
    return Grid(tuple(Column(header, tuple(values), name=not i) for i, (header, values) in enumerate(columns)))
