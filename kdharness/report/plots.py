"""Accuracy against compute of methods with several outputs, as files for a paper; with matplotlib (extra `plots`)."""

from __future__ import annotations

import importlib.util
import io
import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdharness.errors import UserError
from kdharness.report.figures import Mark, OutputFigure, OutputPoint
from kdharness.results.files import writing
from kdharness.text import printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ADVICE = "plots need matplotlib: pip install 'kdharness[plots]'"
MOST_LETTERS = 120  # of a file's name
SIZE_INCHES = (6.4, 4.0)


def write_figures(figures: Iterable[OutputFigure], folder: Path) -> list[Path]:
    """A PNG and an SVG file of each, named by its title; where they are. UserError without matplotlib."""
    paths = []
    for figure in figures:
        name = re.sub(r"[^A-Za-z0-9.]+", "-", f"{figure.title} {figure.deviations}").strip("-.")[:MOST_LETTERS]
        for form in ("png", "svg"):
            path = folder / f"{name}.{form}"
            content = rendered(figure, form)
            with writing(path):
                folder.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            paths.append(path)
    return paths


def rendered(figure: OutputFigure, form: str) -> bytes:
    """The figure as a file's bytes, which are the same for the same numbers. UserError without matplotlib."""
    if importlib.util.find_spec("matplotlib") is None:
        raise UserError(ADVICE)
    import matplotlib

    file = io.BytesIO()
    # Identifiers from the title and no date, which would differ each time.
    with matplotlib.rc_context({"svg.hashsalt": figure.title, "text.usetex": False}):
        _drawn(figure).savefig(file, format=form, dpi=150, metadata={"Date": None} if form == "svg" else None)
    return file.getvalue()


def _drawn(figure: OutputFigure) -> Figure:
    """Top-1 (± half its 95 % interval, where there is one) of each output against its operations."""
    from matplotlib.figure import Figure

    drawn = Figure(figsize=SIZE_INCHES, layout="constrained")
    axes = drawn.add_subplot()
    single = [point for point in figure.points if point.mark is Mark.EXIT]
    axes.plot([point.macs for point in single], [point.top1 for point in single], color="#9db4c7", zorder=1)
    for point in figure.points:
        _point(axes, point)
    axes.set_xlabel(figure.x_label)
    axes.set_ylabel(figure.y_label)
    axes.set_title(printable(figure.title), fontsize=9, parse_math=False)
    axes.margins(0.16)
    return drawn


def _point(axes: Any, point: OutputPoint) -> None:
    colour, offset = ("#b3403a", -13) if point.mark is Mark.PLAIN else ("#2f6f9f", 6)
    half = None if math.isnan(point.half) else [point.half]
    axes.errorbar([point.macs], [point.top1], yerr=half, fmt="o", color=colour, capsize=3, zorder=2)
    name, where = printable(point.name), (point.macs, point.top1)
    axes.annotate(name, where, xytext=(6, offset), textcoords="offset points", fontsize=8, parse_math=False)
