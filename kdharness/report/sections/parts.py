"""What the parts of a method do."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from kdharness.report.sections.captions import over_seeds_of
from kdharness.report.sections.grid import COST, Column, Grid, half_width, p_text, undecided_text, with_error
from kdharness.report.sections.section import Section, SectionKind, Short
from kdharness.report.sections.titles import DOT, banner, setting_title
from kdharness.stats.settings import SETTING, as_dicts
from kdharness.stats.summary import LEAST_FOR_INTERVAL

HOW = (
    "whole - this: top-1 of the whole method less that of the row, paired by seed, ± half a 95 % interval "
    f"(none below {LEAST_FOR_INTERVAL} seeds); words by Student's test with Holm's correction"
)


def parts_sections(effects: pd.DataFrame) -> Iterator[Section]:
    """One for each method and setting. effects: what `effects_of` returns."""
    for _, rows in effects.groupby(["method", *SETTING], sort=False):
        first, missing = as_dicts(rows)[0], as_dicts(rows[rows["reason"] != ""])
        what = f"what the parts of {first['method']} do"
        title = f"{what}{DOT}{setting_title(first)}"
        reasons = (f"{row['part']} was not measured: {row['reason']}" for row in missing)
        how = (*reasons, f"{HOW}; {over_seeds_of(as_dicts(rows))}")
        short = Short(what, setting_title(first), _in_short(parts_grid(rows)))
        yield Section(SectionKind.PARTS, title, parts_grid(rows), banner(first["deviations"]), how=how, short=short)


def _in_short(grid: Grid) -> str:
    """'tckd +0.40 ±0.12 helps, nckd not measured'."""
    parts, _, effects, *_, answers = (column.values for column in grid.columns)
    each = (
        " ".join(f"{p} {e} {a.partition(' (')[0]}".split()) for p, e, a in zip(parts, effects, answers, strict=True)
    )
    return ", ".join(each)


def parts_grid(effects: pd.DataFrame) -> Grid:
    """The parts of one method in one setting, a row each."""
    rows = as_dicts(effects)
    words = tuple(undecided_text(row["effect_in_words"], row["seeds_needed"]) for row in rows)
    half = half_width(effects["ci_low"], effects["ci_high"])
    return Grid(
        (
            Column("", tuple(row["part"] for row in rows), name=True),
            Column("top-1 ±sd", with_error(effects["top1_mean"], effects["top1_sd"])),
            Column("whole - this", with_error(effects["effect"], half, "+")),
            Column("n", tuple(str(row["n"]) for row in rows)),
            Column("p", tuple(p_text(row["p"]) for row in rows), dropped=COST),
            Column("the part", words, words=True),
        )
    )
