"""Methods held against one reference: the gains with all that their verdicts rest on."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from kdharness.report.figures import Gain, GainFigure, with_interval
from kdharness.report.sections.captions import over_seeds
from kdharness.report.sections.grid import COST, GAIN, Column, Grid, half_width, p_text, regime_groups, with_error
from kdharness.report.sections.section import Section, SectionKind
from kdharness.report.sections.titles import banner, joined, setting_title, track_of
from kdharness.stats.paired import MOST_SEEDS, Verdict
from kdharness.stats.question import Question
from kdharness.stats.settings import COMPETITOR, SETTING, as_dicts, competitor_of
from kdharness.stats.summary import LEAST_FOR_INTERVAL

SHORT = {Verdict.EQUAL.value: "equal"}
MOST_LISTED = 8
MOST_DECIMALS = 8


def contrast_section(rows: pd.DataFrame, question: Question) -> Section:
    """rows: of one setting, of `contrasts`."""
    ours = rows[~rows["reference"] & (rows["n"] > 0)]
    ours = ours.sort_values(["regime", "gain", *COMPETITOR], ascending=[True, False, True, True])
    names = {name: str(rows[name].iloc[0]) for name in SETTING}
    title = setting_title(names, about(question))
    return Section(
        kind=SectionKind.CONTRAST,
        title=title,
        grid=contrast_grid(ours, question),
        banner=banner(rows["deviations"].iloc[0]),
        remarks=tuple(_remarks(rows, question)),
        how=(how_gains(question, over_seeds(names, ours["n"])), *how_tests(ours, question)),
        figures=(gain_figure(title, ours, question),) if len(ours) else (),
    )


def gain_figure(title: str, rows: pd.DataFrame, question: Question) -> GainFigure:
    """The gains with their intervals. rows: at least one."""
    each = as_dicts(rows)
    gains = tuple(Gain(competitor_of(row), row["gain"], row["ci_low"], row["ci_high"]) for row in each)
    unit = "points" if question.points else question.metric
    label = with_interval(f"{unit} over {question.reference_name}", gains)
    return GainFigure(title, each[0]["deviations"], label, gains)


def about(question: Question) -> str:
    """'top1 against kd'."""
    return f"{question.metric} against {question.reference_name}"


def contrast_grid(rows: pd.DataFrame, question: Question) -> Grid:
    """Gains ± half of their 95 % interval, the tests, and what they come to in words."""
    each = as_dicts(rows)
    counts = tuple(f"{row['n']}" if row["complete"] else f"{row['n']}/{row['planned']}" for row in each)
    return Grid(
        (
            Column("method", tuple(competitor_of(row) for row in each), name=True),
            Column("gain", gain_texts(rows, question)),
            Column("n", counts),
            *columns_of_tests(rows, question),
        ),
        regime_groups(each),
    )


def gain_texts(rows: pd.DataFrame, question: Question) -> tuple[str, ...]:
    half = half_width(rows["ci_low"], rows["ci_high"])
    return with_error(rows["gain"], half, "+", 2 if question.points else decimals_of(rows["gain"]))


def decimals_of(values: Iterable[float]) -> int:
    """As many as show three digits of the middle one of the values."""
    known = sorted(abs(value) for value in values if value and not math.isnan(value))
    if not known:
        return 2
    return min(MOST_DECIMALS, max(0, 2 - math.floor(math.log10(known[len(known) // 2]))))


def columns_of_tests(rows: pd.DataFrame, question: Question) -> list[Column]:
    """p-values, the verdict, and how many more seeds would settle what is undecided."""
    each = as_dicts(rows)
    found = [Column("p", tuple(map(p_text, rows["p"])), dropped=COST)]
    found.append(Column("p Holm", tuple(map(p_text, rows["t_p_holm"]))))
    if question.equal_within:
        found.append(Column("equal p", tuple(map(p_text, rows["equal_p_holm"]))))
    verdicts = tuple(SHORT.get(row["verdict"], row["verdict"]) for row in each)
    more = tuple(_more(row) for row in each)
    return [*found, Column("verdict", verdicts, words=True), Column("+seeds", more, dropped=GAIN)]


def _more(row: Mapping[str, Any]) -> str:
    if row["verdict"] != Verdict.UNDECIDED:
        return ""
    return f">{MOST_SEEDS}" if pd.isna(row["seeds_needed"]) else str(row["seeds_needed"])


# -- the lines below ---------------------------------------------------------------------------------------------------


def how_gains(question: Question, over: str) -> str:
    """Of what the gains are, and over what."""
    unit = " in points" if question.points else ""
    better = " (less is better: by how much there is less of it)" if question.smaller else ""
    what = f"gain over {question.reference_name}{unit}{better}, paired by seed, ± half a 95 % interval"
    return f"{what} {over}" if over else what


def how_tests(rows: pd.DataFrame, question: Question) -> list[str]:
    """Which tests, and what they are corrected over; nothing where there was none."""
    tests = rows["tests"].dropna()
    if tests.empty:
        return [f"no test below two seeds, no interval and no verdict below {LEAST_FOR_INTERVAL}"]
    number = int(tests.iloc[0])
    over = f"Holm over all {number} comparisons here" if number > 1 else "one comparison, nothing to correct"
    words = [f"p Holm: Student's paired test, {over}; it decides"]
    if question.equal_within:
        words.append(f"equal p: two one-sided tests for within ± {question.equal_within:g}, likewise; equal if <= 0.05")
    return ["; ".join((*words, "p: exact sign-flip test, uncorrected; +seeds: what would settle it, about"))]


def listed(names: Sequence[str]) -> str:
    """Some of them, and how many more there are."""
    more = len(names) - MOST_LISTED
    return ", ".join(names if more <= 0 else [*names[:MOST_LISTED], f"and {more} more"])


def _remarks(rows: pd.DataFrame, question: Question) -> Iterable[str]:
    ours = as_dicts(rows[~rows["reference"]])
    base = as_dicts(rows[rows["reference"]])[0]
    if not base["complete"]:
        yield f"{question.reference_name} itself is not complete: {base['n']} of {base['planned']} seeds"
    empty = [competitor_of(row) for row in ours if row["n"] == 0]
    if empty:
        yield f"no seed in common with {question.reference_name}, and so not compared: {listed(empty)}"
    partly = [f"{competitor_of(row)} {row['n']}/{row['planned']}" for row in ours if row["n"] and not row["complete"]]
    if partly:
        yield f"not complete, compared over the seeds there are: {listed(partly)}"
    same = [competitor_of(row) for row in ours if row["n"] and row["gain"] == 0 and row["sd"] == 0]
    if same:
        yield f"the same {question.metric} as {question.reference_name} for every seed: {listed(same)}"


def mean_contrast_section(rows: pd.DataFrame, question: Question) -> Section:
    """rows: of one benchmark and track, of `mean_contrasts`."""
    ours = rows.sort_values(["regime", "gain", *COMPETITOR], ascending=[True, False, True, True])
    first, settings = as_dicts(ours)[0], int(ours["settings_planned"].max())
    where = joined(first["benchmark"], track_of(first), f"mean over {settings} settings", about(question))
    how = (
        how_gains(question, "over seeds; for each seed averaged over settings of equal weight"),
        "settings: in which all planned seeds are done, of all; b/e/w/u: better, equal, worse, undecided there",
        *how_tests(ours, question),
    )
    grid = mean_contrast_grid(ours, question)
    figures = (gain_figure(where, ours, question),)
    return Section(SectionKind.MEAN_CONTRAST, where, grid, banner(first["deviations"]), how=how, figures=figures)


def mean_contrast_grid(rows: pd.DataFrame, question: Question) -> Grid:
    each = as_dicts(rows)
    words = tuple("/".join(str(row[word]) for word in ("better", "equal", "worse", "undecided")) for row in each)
    return Grid(
        (
            Column("method", tuple(competitor_of(row) for row in each), name=True),
            Column("settings", tuple(f"{row['settings']}/{row['settings_planned']}" for row in each)),
            Column("b/e/w/u", words),
            Column("gain", gain_texts(rows, question)),
            Column("n", tuple(str(row["n"]) for row in each)),
            *columns_of_tests(rows, question),
        ),
        regime_groups(each),
    )
