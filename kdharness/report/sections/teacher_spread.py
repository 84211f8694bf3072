"""How much of a result is the teacher's."""

from __future__ import annotations

import math
from collections.abc import Iterator

from kdharness.report.sections.captions import over_seeds
from kdharness.report.sections.grid import Column, Grid
from kdharness.report.sections.section import Section, SectionKind, Short
from kdharness.report.sections.titles import banner, setting_title
from kdharness.stats.spread import MethodSpread, SettingSpread, sd_interval
from kdharness.stats.summary import Estimate

HOW = "standard deviations of top-1 in points, with their 95 % intervals (chi-square); one student: of seed"
ALL_ANEW = "all anew: "
WHAT = "how much is the teacher's"


def teacher_spread_section(spread: SettingSpread) -> Section:
    title = setting_title(spread.names, WHAT)
    over = over_seeds(spread.names, [each.all_anew.n for each in spread.methods])
    how = f"{HOW} {spread.seed}" + (f"; {ALL_ANEW}{over}" if over else "")
    grid, departs = teacher_spread_grid(spread), banner(spread.deviations)
    short = Short(WHAT, setting_title(spread.names), _in_short(spread))
    return Section(SectionKind.TEACHER_SPREAD, title, grid, departs, how=(how,), short=short)


def _in_short(spread: SettingSpread) -> str:
    """'sd between teachers 2.04, with all anew 1.91 (kd)' for each method."""
    found = []
    for each in spread.methods:
        kinds = (
            ("between teachers", each.between_teachers),
            ("between students", each.between_students),
            ("with all anew", each.all_anew),
        )
        known = ", ".join(f"{what} {of.sd:.2f}" for what, of in kinds if not math.isnan(of.sd))
        found += [f"sd {known} ({each.name})"] if known else []
    return "; ".join(found) or "too few to say"


def teacher_spread_grid(spread: SettingSpread) -> Grid:
    """For each method a row per kind of spread that was measured."""
    rows = [(method, what, found) for method in spread.methods for what, found in _kinds(method)]
    ends = [sd_interval(found) for *_, found in rows]
    names = [method.name for method, *_ in rows]
    shown = ("" if i and names[i - 1] == name else name for i, name in enumerate(names))
    return Grid(
        (
            Column("method", tuple(shown), name=True),
            Column("spread between", tuple(what for _, what, _ in rows), words=True),
            Column("sd", tuple(f"{found.sd:.2f}" for *_, found in rows)),
            Column("95 %", tuple("" if math.isnan(low) else f"{low:.2f} to {high:.2f}" for low, high in ends)),
            Column("n", tuple(str(found.n) for *_, found in rows)),
        )
    )


def _kinds(method: MethodSpread) -> Iterator[tuple[str, Estimate]]:
    kinds = (
        ("teachers, one student", method.between_teachers),
        ("students, one teacher", method.between_students),
        ("students, all anew", method.all_anew),
        ("the teachers' own top-1", method.teachers),
    )
    return ((what, found) for what, found in kinds if not math.isnan(found.sd))
