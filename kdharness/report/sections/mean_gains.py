"""Gains over all pairs of one protocol."""

from __future__ import annotations

from typing import Any

import pandas as pd

from kdharness.report.sections.captions import over_seeds
from kdharness.report.sections.grid import Column, Grid, half_width, regime_groups, with_error
from kdharness.report.sections.section import Section, SectionKind
from kdharness.report.sections.titles import joined, place_of
from kdharness.stats.overall import Overall
from kdharness.stats.settings import as_dicts, competitor_of

HOW = "a pair counts where all planned seeds are done"


def mean_gains_section(overall: Overall) -> Section:
    names, mean = overall.names, f"mean gain over {overall.pairs} pairs"
    title = joined(names["benchmark"], names["dataset"], *place_of(names), mean)
    over = over_seeds({**names, "teacher": "one for each pair"}, _seeds(overall))
    how = f"± half a 95 % interval {over}; {HOW}"
    return Section(SectionKind.MEAN_GAINS, title, mean_gains_grid(overall), how=(how,))


def mean_gains_grid(overall: Overall) -> Grid:
    """Mean gains with the half width of their 95 % interval, and the pairs and seeds that count."""
    table, rows = overall.rows, as_dicts(overall.rows)
    found = [Column("method", tuple(competitor_of(row) for row in rows), name=True)]
    for reference in overall.references:
        half = half_width(table[f"{reference}_ci_low"], table[f"{reference}_ci_high"])
        found.append(Column(f"vs {reference}", with_error(table[f"{reference}_gain"], half, "+")))
    pairs = [max(_whole(row[f"{reference}_pairs"]) for reference in overall.references) for row in rows]
    counted = tuple(f"{count}/{int(row['pairs_planned'])}" for count, row in zip(pairs, rows, strict=True))
    found += [Column("pairs", counted), Column("n", tuple(map(str, _seeds(overall))))]
    return Grid(tuple(found), regime_groups(rows))


def _seeds(overall: Overall) -> list[int]:
    """How many count, by row."""
    return [max(_whole(row[f"{name}_n"]) for name in overall.references) for row in as_dicts(overall.rows)]


def _whole(value: Any) -> int:
    return 0 if pd.isna(value) else int(value)
