"""How the methods of a setting learned."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from kdharness.report.charts.evidence import Competitor, Evidence
from kdharness.report.figures import Curve, CurveFigure
from kdharness.results.history import HistoryRow
from kdharness.stats.summary import LEAST_FOR_INTERVAL, estimate

LEAST_EPOCHS = 2


@dataclass(frozen=True)
class Kind:
    """What a figure is of.

    split, metric: of the curves. name: of the figure. y_label: with the unit. is_alike: whether methods are compared.
    """

    split: str
    metric: str
    name: str
    y_label: str
    is_alike: bool = True


KINDS = (
    Kind("test", "top1", "learning curves on test", "top-1 on test, %"),
    Kind("val", "top1", "learning curves on validation", "top-1 on validation, %"),
    Kind("train", "ce", "training loss", "loss term ce, as each method weighs it, nats", is_alike=False),
)

# The values of one cell by epoch, for each of KINDS.
Series = Sequence[Mapping[int, float]]


def learning_figures(
    title: str, deviations: str, found: Iterable[Competitor], evidence: Evidence, references: Sequence[str]
) -> Iterator[CurveFigure]:
    """One for each kind of curve that was kept. title: the setting's. references: methods; the last is drawn beside."""
    series = [(each, [_series(rows) for rows in each.each(evidence.history)]) for each in found]
    for place, kind in enumerate(KINDS):
        curves = tuple(c for each, cells in series if (c := _curve(each.name, [cell[place] for cell in cells])))
        if curves:
            names = {curve.name for curve in curves}
            reference = next((name for name in reversed(references) if name in names and kind.is_alike), "")
            band = f"95 % interval of the mean over seeds, none below {LEAST_FOR_INTERVAL}"
            yield CurveFigure(f"{title} · {kind.name}", deviations, kind.y_label, band, curves, reference)


def _series(rows: Iterable[HistoryRow]) -> Series:
    """Of a cell's main output: the first that is named, as a cell's metrics begin with it."""
    found: list[dict[int, float]] = [{} for _ in KINDS]
    main: dict[tuple[str, str], str] = {}
    places = {(kind.split, kind.metric): place for place, kind in enumerate(KINDS)}
    for epoch, split, predictor, metric, value in rows:
        what = (split, metric)
        if what in places and main.setdefault(what, predictor) == predictor:
            found[places[what]][epoch] = value
    return found


def _curve(name: str, cells: Sequence[Mapping[int, float]]) -> Curve | None:
    """Over the epochs that every seed has; None below two."""
    kept = [cell for cell in cells if cell]
    epochs = sorted(set.intersection(*map(set, kept))) if kept else []
    if len(epochs) < LEAST_EPOCHS:
        return None
    each = [estimate([cell[epoch] for cell in kept]) for epoch in epochs]
    means, lows, highs = (tuple(e[part] for e in each) for part in (1, 3, 4))
    return Curve(name, len(kept), tuple(epochs), means, lows, highs)
