"""What methods give and what they cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import pandas as pd

from kdharness.report.sections.contrast import decimals_of
from kdharness.report.sections.grid import COST, GAIN, Column, Grid, regime_groups
from kdharness.report.sections.section import Section, SectionKind
from kdharness.report.sections.titles import banner, setting_title
from kdharness.stats.question import Question
from kdharness.stats.reach import SHARES, Reach
from kdharness.stats.settings import COMPETITOR, SETTING, as_dicts, competitor_of

PLACE = (*SETTING, "deviations", *COMPETITOR)
HOW_REACHED = (
    "of gap: the first epoch that was looked at in which the mean curve has this share of the gap between vanilla and "
    "the teachers, and the seconds of training until then; <=: it was there at the first look"
)
Reached = Mapping[tuple[str, ...], Sequence[Reach]]


def trade_section(rows: pd.DataFrame, question: Question, reached: Reached = MappingProxyType({})) -> Section:
    """rows: of one setting, of `contrasts`; those with a value are shown. reached: of `reaches`."""
    ours = rows[rows["mean"].notna()]
    ours = ours.sort_values(["regime", "cost_seconds", *COMPETITOR])
    names = {name: str(rows[name].iloc[0]) for name in SETTING}
    share = ", gap: the gain over vanilla as a share of that of the teachers" if ours["gap_share"].notna().any() else ""
    how: tuple[str, ...] = (
        "train s: mean time of training alone, with all that must be trained before it but the pair's teachers; "
        f"ratio: over that of {question.reference_name}{share}",
        "unbeaten: no complete method of the setting, shown or not, is as good for less time, or better for as little",
    )
    if any(tuple(str(row[name]) for name in PLACE) in reached for row in as_dicts(ours)):
        how = (*how, HOW_REACHED)
    title = setting_title(names, f"{question.metric} and what it costs")
    return Section(
        SectionKind.TRADE, title, trade_grid(ours, question, reached), banner(rows["deviations"].iloc[0]), how=how
    )


def trade_grid(rows: pd.DataFrame, question: Question, reached: Reached = MappingProxyType({})) -> Grid:
    """The cheapest first."""
    each = as_dicts(rows)
    reaches = [reached.get(tuple(str(row[name]) for name in PLACE)) for row in each]
    digits = 2 if question.points else decimals_of(rows["mean"])
    found = [
        Column("method", tuple(competitor_of(row) for row in each), name=True),
        Column(question.metric, tuple(_number(row["mean"], f".{digits}f") for row in each)),
    ]
    if rows["gap_share"].notna().any():
        found.append(Column("gap", tuple(_number(row["gap_share"], ".0%") for row in each)))
    found += [
        Column("train s", tuple(_number(s, f".{1 if s < 100 else 0}f") for s in rows["cost_seconds"])),
        Column("ratio", tuple(_number(row["cost_ratio"], ".2f") for row in each), dropped=GAIN),
        Column("unbeaten", tuple("yes" if row["pareto"] else "" for row in each), words=True),
    ]
    if any(reaches):
        for i, share in enumerate(SHARES):
            texts = tuple(reach_text(reach[i]) if reach else "" for reach in reaches)
            found.append(Column(f"{share:.0%} of gap", texts, dropped=COST))
    return Grid(tuple(found), regime_groups(each))


def reach_text(reach: Reach) -> str:
    """'12 3.4 s'; '<=91 9.0 s' where it was there at the first look; 'no' where it never was."""
    if reach.epoch is None:
        return "no"
    seconds = "" if math.isnan(reach.seconds) else f" {reach.seconds:.{1 if reach.seconds < 100 else 0}f} s"
    return f"{'<=' if reach.at_once else ''}{reach.epoch}{seconds}"


def _number(value: float, form: str) -> str:
    return "" if math.isnan(value) else format(value, form)
