"""One setting under several recipes."""

from __future__ import annotations

import math

import pandas as pd

from kdharness.report.sections.captions import over_seeds
from kdharness.report.sections.grid import GAIN, Column, Grid, half_width, regime_groups, with_error
from kdharness.report.sections.section import Section, SectionKind
from kdharness.report.sections.titles import banner, joined, scenario_of
from kdharness.stats.recipes import RecipesBeside
from kdharness.stats.settings import COMPETITOR, as_dicts, competitor_of, pair_of

HOW = "each gain is over the same recipe's own reference, paired by seed, ± half a 95 % interval"
KEY = ["regime", *COMPETITOR]


def recipes_section(beside: RecipesBeside) -> Section:
    names = beside.names
    where = joined(names["benchmark"], names["dataset"], scenario_of(names), pair_of(names))
    title = joined(where, f"under {len(beside.boards)} recipes")
    counts = [n for board in beside.boards.values() for n in board["n"]]
    over = over_seeds(names["seeding"], counts, names["teacher"])
    return Section(SectionKind.RECIPES, title, recipes_grid(beside), banner(beside.deviations), how=(f"{HOW}, {over}",))


def recipes_grid(beside: RecipesBeside) -> Grid:
    """A row per method; for each reference, a column per recipe."""
    rows = _competitors(beside)
    columns = [Column("method", tuple(competitor_of(row) for row in as_dicts(rows)), name=True)]
    for reference in beside.references:
        for recipe, board in beside.boards.items():
            dropped = 0 if reference == beside.references[-1] else GAIN
            columns.append(Column(f"{recipe} vs {reference}", _gains(rows, board, reference), dropped=dropped))
    return Grid(tuple(columns), regime_groups(as_dicts(rows)))


def _competitors(beside: RecipesBeside) -> pd.DataFrame:
    """Every competitor once, by regime, in the order of the recipes' rankings."""
    return pd.concat([b[KEY] for b in beside.boards.values()]).drop_duplicates().sort_values("regime", kind="stable")


def _gains(rows: pd.DataFrame, board: pd.DataFrame, reference: str) -> tuple[str, ...]:
    gain = f"gain_over_{reference}"
    names = [gain, f"{gain}_ci_low", f"{gain}_ci_high"]
    found = rows.merge(board.reindex(columns=[*KEY, *names]), on=KEY, how="left")[names].astype(float)
    return with_error(found[gain].fillna(math.nan), half_width(found[names[1]], found[names[2]]), "+")
