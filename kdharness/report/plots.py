"""Accuracy against compute of methods with several outputs, drawn with matplotlib (the extra `plots`)."""

from __future__ import annotations

import importlib.util
import io
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdharness.errors import UserError
from kdharness.report.exits import ExitsView
from kdharness.results.files import writing
from kdharness.stats.summary import Estimate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ADVICE = "plots need matplotlib: pip install 'kdharness[plots]'"
SIZE_INCHES = (6.4, 4.0)


def can_draw() -> bool:
    """Whether matplotlib is there."""
    return importlib.util.find_spec("matplotlib") is not None


def exits_figure(view: ExitsView) -> Figure:
    """Top-1 (± half its 95 % interval, where there is one) of each output against its operations; the plain student
    beside them.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE_INCHES, layout="constrained")
    axes = figure.add_subplot()
    exits = sorted(view.exits, key=lambda each: (each.macs, each.name))
    single = [each for each in exits if "ensemble" not in each.name]
    axes.plot([each.macs for each in single], [each.top1.mean for each in single], color="#9db4c7", zorder=1)
    for each in exits:
        _point(axes, each.macs, each.top1, each.name, "#2f6f9f")
    if view.plain is not None:
        top1, macs = view.plain
        _point(axes, macs, top1, "plain student", "#b3403a", below=True)
    axes.set_xlabel("multiply-accumulates for one image")
    axes.set_ylabel("top-1 on test, %")
    axes.set_title(view.title, fontsize=9)
    axes.margins(0.16)
    return figure


def _point(axes: Any, macs: float, top1: Estimate, name: str, colour: str, below: bool = False) -> None:
    half = (top1.ci_high - top1.ci_low) / 2
    axes.errorbar(
        [macs], [top1.mean], yerr=None if math.isnan(half) else [half], fmt="o", color=colour, capsize=3, zorder=2
    )
    axes.annotate(name, (macs, top1.mean), xytext=(6, -13 if below else 6), textcoords="offset points", fontsize=8)


def exits_svg(view: ExitsView) -> str:
    """The figure as an <svg> element to stand in a page. UserError without matplotlib."""
    text = _rendered(view, "svg").decode("utf-8")
    return text[text.index("<svg") :]


def write_exits(views: Sequence[ExitsView], folder: Path) -> list[Path]:
    """A PNG and an SVG file for each view; where they are. UserError without matplotlib."""
    paths = []
    for view in views:
        name = re.sub(r"[^A-Za-z0-9.]+", "-", view.title + (f" {view.deviations}" if view.deviations else "")).strip(
            "-"
        )
        for form in ("png", "svg"):
            path = folder / f"{name}.{form}"
            content = _rendered(view, form)
            with writing(path):
                folder.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            paths.append(path)
    return paths


def _rendered(view: ExitsView, form: str) -> bytes:
    if not can_draw():
        raise UserError(ADVICE)
    import matplotlib

    file = io.BytesIO()
    # Identifiers from the title and no date: the same numbers give the same file, and several figures suit one page.
    with matplotlib.rc_context({"svg.hashsalt": view.title}):
        exits_figure(view).savefig(file, format=form, dpi=150, metadata={"Date": None} if form == "svg" else None)
    return file.getvalue()
