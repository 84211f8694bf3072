"""All figures that are drawn beside a report's rankings and mean gains."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from kdharness.report.charts.evidence import Evidence, competitors
from kdharness.report.charts.learning import learning_figures
from kdharness.report.charts.pairs import pair_figures
from kdharness.report.charts.points import agreement_figure, calibration_figure, cost_figure
from kdharness.report.charts.sureness import reliability_figure
from kdharness.report.figures import Figure
from kdharness.report.sections.ranking import ranking_name
from kdharness.stats.overall import Overall
from kdharness.stats.rankings import Ranking, rows_by_setting


@dataclass(frozen=True)
class Charts:
    """Figures by place: of each ranking, and of each table of mean gains. None where nothing is drawn."""

    rankings: tuple[tuple[Figure, ...], ...] = ()
    overalls: tuple[tuple[Figure, ...], ...] = ()

    def of_ranking(self, place: int) -> tuple[Figure, ...]:
        return self.rankings[place] if self.rankings else ()

    def of_overall(self, place: int) -> tuple[Figure, ...]:
        return self.overalls[place] if self.overalls else ()


def charts_of(
    frame: pd.DataFrame, rankings: Sequence[Ranking], overalls: Sequence[Overall], evidence: Evidence
) -> Charts:
    """frame: the results table that they are made of."""
    rows = {each: rows_by_setting(frame, each) for each in {ranking.deviations for ranking in rankings}}
    return Charts(
        tuple(tuple(_of_ranking(r, rows[r.deviations][tuple(r.names.values())], evidence)) for r in rankings),
        tuple(tuple(pair_figures(overall, rankings)) for overall in overalls),
    )


def _of_ranking(ranking: Ranking, rows: pd.DataFrame, evidence: Evidence) -> Iterator[Figure]:
    title, deviations = ranking_name(ranking), ranking.deviations
    found = competitors(rows, ranking.board)
    yield from filter(None, [cost_figure(title, ranking)])
    yield from learning_figures(title, deviations, found, evidence, ranking.references)
    yield from filter(None, [reliability_figure(title, deviations, found, evidence)])
    yield from filter(None, [calibration_figure(title, deviations, found)])
    yield from filter(None, [agreement_figure(title, deviations, found)])
