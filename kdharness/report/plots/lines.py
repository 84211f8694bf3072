"""Lines of methods: how they learned, how often they are right where they are so sure, and how often near the best."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawn

from kdharness.report.figures import Curve, CurveFigure, Profile, ProfileFigure, Reliability, ReliabilityFigure
from kdharness.report.plots.style import COLOURS, DASHES, GREY, MARKERS, PALE, name_of, title_of

SIZE_INCHES = (7.2, 4.0)
MOST_IN_COLOUR = len(COLOURS)
BAND = 0.18  # how opaque


def curves(figure: CurveFigure) -> Drawn:
    """The first methods in colour with their bands, the reference in black, the others grey and without a name."""
    drawn = Drawn(figsize=SIZE_INCHES, layout="constrained")
    axes = drawn.add_subplot()
    named = [curve for curve in figure.curves if curve.name != figure.reference][:MOST_IN_COLOUR]
    others = [c for c in figure.curves if c not in named and c.name != figure.reference]
    for curve in others:
        axes.plot(curve.epochs, curve.means, color=PALE, linewidth=0.8, zorder=1)
    for place, curve in enumerate(named):
        axes.fill_between(curve.epochs, curve.lows, curve.highs, color=COLOURS[place], alpha=BAND, linewidth=0)
        axes.plot(
            curve.epochs, curve.means, color=COLOURS[place], linestyle=DASHES[place], label=_with_seeds(curve), zorder=3
        )
    for curve in figure.curves:
        if curve.name == figure.reference:
            axes.fill_between(curve.epochs, curve.lows, curve.highs, color=GREY, alpha=BAND, linewidth=0)
            axes.plot(curve.epochs, curve.means, color="black", linewidth=1.8, label=_with_seeds(curve), zorder=4)
    if others:
        axes.plot([], [], color=PALE, label=_more(others))
    axes.set_xlabel(figure.x_label)
    axes.set_ylabel(figure.y_label)
    axes.set_title(title_of(figure.title, figure.deviations), loc="left")
    drawn.legend(loc="outside right upper", title=_wrapped(f"band: {figure.band}"), title_fontsize=8)
    return drawn


def reliability(figure: ReliabilityFigure) -> Drawn:
    """Points as large as the share of images in their bin; on the diagonal a method knows how sure it may be."""
    drawn = Drawn(figsize=SIZE_INCHES, layout="constrained")
    axes = drawn.add_subplot()
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1)
    named, others = figure.methods[:MOST_IN_COLOUR], figure.methods[MOST_IN_COLOUR:]
    for method in others:
        axes.plot(*_bins(method), color=PALE, linewidth=0.8, zorder=1)
    for place, method in enumerate(named):
        across, up = _bins(method)
        axes.plot(across, up, color=COLOURS[place], linestyle=DASHES[place], label=_with_seeds(method), zorder=3)
        sizes = [6 + 90 * one.share for one in method.bins]
        axes.scatter(across, up, sizes, color=COLOURS[place], marker=MARKERS[place], zorder=3)
    if others:
        axes.plot([], [], color=PALE, label=_more(others))
    axes.set_xlabel(figure.x_label)
    axes.set_ylabel(figure.y_label)
    axes.set_title(title_of(figure.title, figure.deviations), loc="left")
    drawn.legend(loc="outside right upper", title="size: share of images", title_fontsize=8)
    return drawn


def profiles(figure: ProfileFigure) -> Drawn:
    """The first methods in colour, the reference in black, the others grey and without a name."""
    drawn = Drawn(figsize=SIZE_INCHES, layout="constrained")
    axes = drawn.add_subplot()
    named = [one for one in figure.profiles if one.name != figure.reference][:MOST_IN_COLOUR]
    others = [one for one in figure.profiles if one not in named and one.name != figure.reference]
    for one in others:
        axes.plot(figure.within, one.shares, color=PALE, linewidth=0.8, zorder=1)
    for place, one in enumerate(named):
        _profile(axes, figure, one, color=COLOURS[place], linestyle=DASHES[place], zorder=3)
    for one in figure.profiles:
        if one.name == figure.reference:
            _profile(axes, figure, one, color="black", linewidth=1.8, zorder=4)
    if others:
        axes.plot([], [], color=PALE, label=_more(others))
    axes.set_ylim(0, 1.02)
    axes.set_xlabel(figure.x_label)
    axes.set_ylabel(figure.y_label)
    axes.set_title(title_of(figure.title, figure.deviations), loc="left")
    drawn.legend(loc="outside right upper")
    return drawn


def _profile(axes: Axes, figure: ProfileFigure, one: Profile, **style: Any) -> None:
    axes.plot(figure.within, one.shares, label=name_of(one.name), **style)


def _bins(method: Reliability) -> tuple[list[float], list[float]]:
    return [one.confidence for one in method.bins], [one.accuracy for one in method.bins]


def _with_seeds(each: Curve | Reliability) -> str:
    return f"{name_of(each.name)} (n={each.seeds})"


def _more(others: Sequence[object]) -> str:
    return f"{len(others)} other{'' if len(others) == 1 else 's'}"


def _wrapped(text: str) -> str:
    return "\n".join(textwrap.wrap(text, 26))
