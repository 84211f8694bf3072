"""One setting under several recipes."""

from __future__ import annotations

from itertools import pairwise

import pandas as pd

from kdharness.report.sections.captions import over_seeds
from kdharness.report.sections.grid import GAIN, Column, Grid, half_width, regime_groups, with_error
from kdharness.report.sections.section import Section, SectionKind, Short
from kdharness.report.sections.titles import banner, joined, scenario_of, track_of
from kdharness.stats.recipes import RecipesBeside
from kdharness.stats.settings import COMPETITOR, as_dicts, competitor_of, pair_of

HOW = "each gain is over the same recipe's own reference, paired by seed, ± half a 95 % interval"
KEY = ["regime", *COMPETITOR]


def recipes_section(beside: RecipesBeside) -> Section:
    names = beside.names
    where = joined(names["benchmark"], names["dataset"], scenario_of(names), track_of(names), pair_of(names))
    what = f"under {len(beside.boards)} recipes"
    title = joined(where, what)
    counts = [n for board in beside.boards.values() for n in board["n"]]
    over = over_seeds(names, counts)
    grid, departs = recipes_grid(beside), banner(beside.deviations)
    short = Short(what, where, f"the gains of each method beside each other, {', '.join(beside.boards)}")
    return Section(SectionKind.RECIPES, title, grid, departs, how=(f"{HOW}, {over}",), short=short)


def recipes_grid(beside: RecipesBeside) -> Grid:
    """For each method a row per recipe, so that any number of recipes fits any place."""
    rows = _rows(beside)
    each = as_dicts(rows)
    known = ["", *(competitor_of(row) for row in each)]
    methods = tuple("" if name == before else name for before, name in pairwise(known))
    columns = [Column("method", methods, name=True), Column("recipe", tuple(rows["recipe"]), name=True)]
    columns.append(Column("top-1 ±sd", with_error(rows["top1_mean"], rows["top1_sd"])))
    for reference in beside.references:
        dropped = 0 if reference == beside.references[-1] else GAIN
        columns.append(Column(f"vs {reference}", _gains(rows, reference), dropped=dropped))
    return Grid(tuple(columns), regime_groups(each))


def _rows(beside: RecipesBeside) -> pd.DataFrame:
    """Every competitor under every recipe, by regime, in the order of the first recipe's ranking."""
    whole = pd.concat([board.assign(recipe=recipe) for recipe, board in beside.boards.items()], ignore_index=True)
    place = whole.groupby(KEY, sort=False).ngroup()
    return whole.assign(place=place).sort_values(["regime", "place"], kind="stable").drop_duplicates([*KEY, "recipe"])


def _gains(rows: pd.DataFrame, reference: str) -> tuple[str, ...]:
    gain = f"gain_over_{reference}"
    found = rows.reindex(columns=[gain, f"{gain}_ci_low", f"{gain}_ci_high"]).astype(float)
    return with_error(found[gain], half_width(found.iloc[:, 1], found.iloc[:, 2]), "+")
