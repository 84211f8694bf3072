"""Gains of all methods on all pairs that share one protocol."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from kdharness.report.figures import HeatCell, HeatFigure
from kdharness.report.sections.titles import joined, place_of
from kdharness.stats.overall import Overall
from kdharness.stats.paired import Verdict
from kdharness.stats.rankings import Ranking
from kdharness.stats.settings import BLOCK, as_dicts, competitor_of, pair_of

SETTLED = (Verdict.BETTER.value, Verdict.WORSE.value)


def pair_figures(overall: Overall, rankings: Iterable[Ranking]) -> Iterator[HeatFigure]:
    """One for each reference: methods in the order of their mean gains, pairs in that of the rankings."""
    own = [r for r in rankings if not r.deviations and all(r.names[name] == overall.names[name] for name in BLOCK)]
    names, methods = overall.names, [competitor_of(row) for row in as_dicts(overall.rows)]
    title = joined(names["benchmark"], names["dataset"], *place_of(names))
    for reference in overall.references:
        columns = [(_pair(ranking), _gains(ranking, reference)) for ranking in own if reference in ranking.references]
        if len(columns) > 1:
            yield HeatFigure(
                title=joined(title, f"gain over {reference} by pair"),
                deviations="",
                label=f"points over {reference}; bold: told apart from it",
                methods=tuple(methods),
                pairs=tuple(pair for pair, _ in columns),
                cells=tuple(_row(method, [gains for _, gains in columns]) for method in methods),
            )


def _pair(ranking: Ranking) -> str:
    source = ranking.names["teacher_source"]
    return f"{pair_of(ranking.names)} ({source[:8]})" if source else pair_of(ranking.names)


def _gains(ranking: Ranking, reference: str) -> dict[str, HeatCell]:
    return {competitor_of(row): _cell(row, f"gain_over_{reference}") for row in as_dicts(ranking.board)}


def _cell(row: Mapping[str, Any], gain: str) -> HeatCell:
    points = row[gain]
    return HeatCell(math.nan if pd.isna(points) else float(points), row[f"{gain}_verdict"] in SETTLED)


def _row(method: str, columns: Sequence[Mapping[str, HeatCell]]) -> tuple[HeatCell, ...]:
    return tuple(column.get(method, HeatCell(math.nan)) for column in columns)
