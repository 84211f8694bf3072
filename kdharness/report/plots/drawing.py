"""Which function draws which figure."""

from __future__ import annotations

from matplotlib.figure import Figure as Drawn

from kdharness.report.figures import (
    CurveFigure,
    Figure,
    GainFigure,
    HeatFigure,
    OutputFigure,
    PointFigure,
    ProfileFigure,
    ReliabilityFigure,
)
from kdharness.report.plots.lines import curves, profiles, reliability
from kdharness.report.plots.points import outputs, points
from kdharness.report.plots.rows import gains, heat


def drawn(figure: Figure) -> Drawn:
    """TypeError for a kind that nothing here draws."""
    match figure:
        case GainFigure():
            return gains(figure)
        case HeatFigure():
            return heat(figure)
        case CurveFigure():
            return curves(figure)
        case ReliabilityFigure():
            return reliability(figure)
        case ProfileFigure():
            return profiles(figure)
        case PointFigure():
            return points(figure)
        case OutputFigure():
            return outputs(figure)
    raise TypeError(f"no drawing of a {type(figure).__name__}")
