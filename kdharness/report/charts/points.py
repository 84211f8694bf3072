"""Methods of a setting by two of their numbers: cost, calibration, agreement with the teacher."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from kdharness.report.charts.evidence import Competitor
from kdharness.report.figures import Point, PointFigure
from kdharness.stats.rankings import Ranking
from kdharness.stats.settings import as_dicts, competitor_of
from kdharness.stats.standings import cost_seconds
from kdharness.stats.summary import estimate

LEAST_POINTS = 2
FRONT = "no complete method is as good at less cost"


def cost_figure(title: str, ranking: Ranking) -> PointFigure | None:
    """What a student takes to train, its pair's teachers given, and what it gains: top-1 where nothing is to be gained
    over.
    """
    board, reference = ranking.board, ranking.references[0] if ranking.references else ""
    y = f"gain_over_{reference}" if reference else "top1"
    value = y if reference else "top1_mean"
    points = []
    for row, seconds in zip(as_dicts(board), cost_seconds(board), strict=True):
        is_reference = (row["method"], row["variant"]) == (reference, "")
        gain = 0.0 if is_reference else row[value]
        if pd.isna(gain) or pd.isna(seconds):
            continue
        low, high = (gain, gain) if is_reference else (row[f"{y}_ci_low"], row[f"{y}_ci_high"])
        points.append(Point(competitor_of(row), float(seconds), float(gain), float(low), float(high), row["pareto"]))
    if len(points) < LEAST_POINTS:
        return None
    label = f"points over {reference}" if reference else "top-1 on test, %"
    ordered = tuple(sorted(points, key=lambda point: point.x))
    seconds_label = "seconds of training, earlier steps of a chain included"
    return PointFigure(f"{title} · gain against cost", ranking.deviations, seconds_label, label, ordered, FRONT)


def calibration_figure(title: str, deviations: str, found: Iterable[Competitor]) -> PointFigure | None:
    """Low and left is better: probabilities fit, and labels are likely."""
    return _means(f"{title} · calibration", deviations, found, NLL, ECE)


def agreement_figure(title: str, deviations: str, found: Iterable[Competitor]) -> PointFigure | None:
    return _means(f"{title} · agreement with the teacher", deviations, found, AGREEMENT, TOP1)


# Column and label.
NLL = ("nll", "negative log-likelihood on test, nats")
ECE = ("ece", "expected calibration error on test")
AGREEMENT = ("teacher_agreement", "test images that student and teacher give the same class, %")
TOP1 = ("top1", "top-1 on test, %")


def _means(
    title: str, deviations: str, found: Iterable[Competitor], x: tuple[str, str], y: tuple[str, str]
) -> PointFigure | None:
    """Means over seeds, the interval of y; None for fewer than two methods that have both."""
    points = []
    for each in found:
        across, up = estimate(each.values(x[0])), estimate(each.values(y[0]))
        if across.n and up.n:
            points.append(Point(each.name, across.mean, up.mean, up.ci_low, up.ci_high))
    return PointFigure(title, deviations, x[1], y[1], tuple(points)) if len(points) >= LEAST_POINTS else None
