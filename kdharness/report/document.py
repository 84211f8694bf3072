"""The parts that every written format shares: titled tables with the lines around them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from kdharness.report.claims import unmeasured_lines
from kdharness.report.columns import Grid, overall_grid, setting_grid
from kdharness.report.extras import (
    CLAIMS_TITLE,
    CLAIMS_WORDS,
    EFFECTS_WORDS,
    PRIVACY_WORDS,
    by_setting,
    claims_grid,
    effects_grid,
    exits_grid,
    privacy_grid,
)
from kdharness.report.view import OVERALL_WORDS, Problem, Report, SettingView


@dataclass(frozen=True)
class Section:
    """A titled table. banner: to be shown before it, '' for none; below: lines on how to read it."""

    title: str
    grid: Grid
    banner: str
    below: tuple[str, ...]


def sections(report: Report) -> Iterator[Section]:
    """What follows the benchmark, then means over pairs, then what deviates, then what `further` gives."""
    official = [view for view in report.settings if not view.deviations]
    yield from map(_setting, official)
    for overall in report.overalls:
        yield Section(overall.title, overall_grid(overall), "", (OVERALL_WORDS,))
    yield from map(_setting, report.settings[len(official) :])
    yield from further(report)


def further(report: Report) -> Iterator[Section]:
    """What the outputs of methods cost, what private data leaks, what parts of methods do, whether claims hold."""
    for view in report.exits:
        yield Section(view.title, exits_grid(view), _banner(view.deviations), view.below)
    for exposed in report.privacy:
        yield Section(exposed.title, privacy_grid(exposed), _banner(exposed.deviations), (PRIVACY_WORDS,))
    yield from part_sections(report.effects)
    if len(report.claims):
        unmeasured = tuple(unmeasured_lines(report.claims))
        yield Section(CLAIMS_TITLE, claims_grid(report.claims), "", (*unmeasured, CLAIMS_WORDS))


def part_sections(effects: pd.DataFrame) -> Iterator[Section]:
    """What the parts of methods do, one table for each method and setting."""
    for title, deviations, rows in by_setting(effects):
        missing = rows[rows["reason"] != ""]
        reasons = [f"{row['part']} was not measured: {row['reason']}" for row in missing.to_dict("records")]
        yield Section(title, effects_grid(rows), _banner(deviations), (*reasons, EFFECTS_WORDS))


def _banner(deviations: str) -> str:
    return f"deviates from the benchmark: {deviations}" if deviations else ""


def _setting(view: SettingView) -> Section:
    below = (*view.remarks, view.measured, view.compared)
    return Section(heading(view), setting_grid(view), view.banner, tuple(line for line in below if line))


def heading(view: SettingView) -> str:
    return view.title if math.isnan(view.teacher_top1) else f"{view.title} · teacher {view.teacher_top1:.2f} %"


def problem_line(problem: Problem) -> str:
    what = f"{problem.status.replace('_', ' ')} {problem.count}: {', '.join(problem.what)}"
    return f"{what} ({problem.reason})" if problem.reason else what


def stale_line(count: int) -> str:
    results = "1 stale result is" if count == 1 else f"{count} stale results are"
    return f"{results} kept on disk and left out: no plan produces them any more"


def endings(report: Report) -> list[str]:
    """What did not go well, grouped by reason, and what was left out."""
    lines = [problem_line(problem) for problem in report.problems]
    return [*lines, stale_line(report.stale)] if report.stale else lines


def nothing(report: Report) -> str:
    return f"{report.name or 'results'}: nothing is measured yet"
