"""The columns that plugins add to a leaderboard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kdharness.report.sections.grid import COST, Column, Grid, regime_groups
from kdharness.report.sections.ranking import ranking_name
from kdharness.report.sections.section import Section, SectionKind, Short
from kdharness.report.sections.titles import joined, setting_title
from kdharness.stats.plugin_columns import PluginColumn
from kdharness.stats.rankings import Ranking
from kdharness.stats.settings import as_dicts, competitor_of

WHAT = "columns of plugins"
MOST_ALWAYS = 3  # narrow places show so many


def added_section(ranking: Ranking, columns: Sequence[PluginColumn]) -> Section | None:
    """None where they say nothing of this setting. columns: one value per row of the board."""
    shown = [each for each in columns if each.fault or any(value is not None for value in each.values)]
    if not shown:
        return None
    filled = [each for each in shown if not each.fault]
    return Section(
        SectionKind.ADDED,
        joined(ranking_name(ranking), WHAT),
        added_grid(ranking, filled),
        remarks=tuple(each.fault for each in shown if each.fault),
        how=tuple(f"{each.column.name}: {each.column.meaning}" for each in filled if each.column.meaning),
        short=Short(WHAT, setting_title(ranking.names), ", ".join(_in_short(each) for each in shown)),
    )


def _in_short(each: PluginColumn) -> str:
    return f"{each.column.name} (failed)" if each.fault else each.column.name


def added_grid(ranking: Ranking, columns: Sequence[PluginColumn]) -> Grid:
    """In the order of the ranking."""
    rows = as_dicts(ranking.board)
    found = [Column("method", tuple(competitor_of(row) for row in rows), name=True)]
    for place, each in enumerate(columns):
        header = " ".join(filter(None, (each.column.name, each.column.unit)))
        dropped = 0 if place < MOST_ALWAYS else COST
        is_text = each.column.dtype == "text"
        found.append(Column(header, tuple(map(_text, each.values)), name=is_text, words=is_text, dropped=dropped))
    return Grid(tuple(found), regime_groups(rows))


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.5g}" if isinstance(value, float) else str(value)
