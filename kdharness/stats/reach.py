"""How long it takes until a method has a share of the gap between the plain student and its teachers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from kdharness.results.history import HistoryRow
from kdharness.stats.contrast import PLAIN, by_deviations, gap_of, mean_of, values_of
from kdharness.stats.question import Competitor, Question
from kdharness.stats.settings import COMPETITOR, SETTING

SHARES = (0.5, 0.9)

# Test accuracy by epoch.
Curve = Mapping[int, float]
# A setting's columns, how it deviates, a method and its variant.
Place = tuple[str, ...]


@dataclass(frozen=True)
class Reach:
    """The first epoch that was looked at in which the mean curve over seeds has the share of the gap.

    epoch: None where none has. at_once: whether it is the first that was looked at, so that it may have been earlier.
    seconds: of training until then, in proportion to epochs, with what must be trained before; NaN where not known.
    """

    epoch: int | None
    at_once: bool = False
    seconds: float = math.nan


def main_curve(rows: Iterable[HistoryRow]) -> dict[int, float]:
    """Of a cell's main output: the first that is named."""
    found: dict[int, float] = {}
    main: str | None = None
    for epoch, split, predictor, metric, value in rows:
        if (split, metric) == ("test", "top1") and (main := predictor if main is None else main) == predictor:
            found[epoch] = value
    return found


def reaches(
    frame: pd.DataFrame, question: Question, history: Callable[[str], Iterable[HistoryRow]]
) -> dict[Place, tuple[Reach, ...]]:
    """By place one for each of SHARES, of the competitors that are shown and have curves, where the gap is known.

    history: the curves of a cell, by its key.
    """
    found: dict[Place, tuple[Reach, ...]] = {}
    for deviations, rows in by_deviations(frame):
        for names, setting in rows[rows["status"] == "ok"].groupby(list(SETTING)):
            plain = setting[(setting["method"] == PLAIN[0]) & (setting["variant"] == PLAIN[1])]
            values = values_of(plain, "top1")
            gap = gap_of(setting, {PLAIN: values})
            if not math.isnan(gap):
                levels = [mean_of(values) + share * gap for share in SHARES]
                for competitor, cells in _shown(setting, question):
                    curves = [main_curve(history(str(cell))) for cell in cells["cell"]]
                    if all(curves):
                        place = (*map(str, names), deviations, *competitor)
                        found[place] = tuple(_reach(curves, level, cells) for level in levels)
    return found


def _shown(setting: pd.DataFrame, question: Question) -> Iterable[tuple[Competitor, pd.DataFrame]]:
    for (method, variant), cells in setting.groupby(list(COMPETITOR)):
        name = (str(method), str(variant))
        if question.shown is None or name in question.shown:
            yield name, cells


def _reach(curves: Sequence[Curve], level: float, cells: pd.DataFrame) -> Reach:
    epochs = sorted(set.intersection(*map(set, curves)))
    for epoch in epochs:
        if sum(curve[epoch] for curve in curves) / len(curves) >= level:
            share = epoch / float(cells["epochs"].mean())
            seconds = float(cells["chain_seconds"].mean()) + share * float(cells["alone_seconds"].mean())
            return Reach(epoch, epoch == epochs[0] > 1, seconds)
    return Reach(None)
