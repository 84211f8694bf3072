"""Every kind of figure as an element to stand in a page."""

from __future__ import annotations

from markupsafe import Markup

from kdharness.report.drawing.gains import gains
from kdharness.report.drawing.heat import heat
from kdharness.report.drawing.outputs import outputs
from kdharness.report.drawing.panels import curves, profiles, reliabilities
from kdharness.report.drawing.points import points
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


def as_element(figure: Figure) -> Markup:
    """Names are escaped."""
    match figure:
        case GainFigure():
            return gains(figure)
        case OutputFigure():
            return outputs(figure)
        case PointFigure():
            return points(figure)
        case CurveFigure():
            return curves(figure)
        case HeatFigure():
            return heat(figure)
        case ReliabilityFigure():
            return reliabilities(figure)
        case ProfileFigure():
            return profiles(figure)
    raise TypeError(f"nothing draws a {type(figure).__name__}")
