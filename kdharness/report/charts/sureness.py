"""How often the methods of a setting are right where they are so sure, counted from their test predictions."""

from __future__ import annotations

from collections.abc import Iterable

from kdharness.report.charts.evidence import Competitor, Evidence
from kdharness.report.figures import Reliability, ReliabilityBin, ReliabilityFigure
from kdharness.stats.reliability import SureBin, pooled, reliability


def reliability_figure(
    title: str, deviations: str, found: Iterable[Competitor], evidence: Evidence
) -> ReliabilityFigure | None:
    """None where no method kept its predictions. title: the setting's."""
    methods = tuple(m for each in found if (m := _method(each, evidence)))
    return ReliabilityFigure(f"{title} · reliability", deviations, methods) if methods else None


def _method(each: Competitor, evidence: Evidence) -> Reliability | None:
    kept = [p for cell in each.cells if (p := evidence.predictions(cell)) is not None]
    bins = pooled([reliability(p.logits, p.targets) for p in kept])
    images = sum(one.count for one in bins)
    return Reliability(each.name, len(kept), tuple(_bin(one, images) for one in bins)) if bins else None


def _bin(one: SureBin, images: int) -> ReliabilityBin:
    return ReliabilityBin(one.confidence, one.accuracy, one.count / images)
