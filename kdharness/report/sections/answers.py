"""Whether the papers' claims hold."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pandas as pd

from kdharness.report.sections.captions import drawn
from kdharness.report.sections.grid import COST, GAIN, Column, Grid, count_text, p_text, undecided_text
from kdharness.report.sections.section import Section, SectionKind
from kdharness.report.sections.titles import place_of
from kdharness.stats.answers import Answer
from kdharness.stats.claims import COUNTED as COUNTED_METRICS
from kdharness.stats.settings import as_dicts, pair_of
from kdharness.stats.summary import LEAST_FOR_INTERVAL

TITLE = "Do the papers' claims hold here?"
IN_WORDS = {
    Answer.HOLDS: "hold",
    Answer.FAILS: "do not hold",
    Answer.UNDECIDED: "undecided",
    Answer.UNMEASURED: "not measured",
}
LEAST_COUNTED = 1000
HOW = (
    "differences paired by seed in the direction of the claim, ± half a 95 % interval of each by itself "
    f"(none below {LEAST_FOR_INTERVAL} seeds)"
)


def answers_section(judged: pd.DataFrame) -> Section:
    """The answers to all claims. judged: what `judge` returns."""
    return Section(
        SectionKind.CLAIMS, TITLE, answers_grid(judged), how=(*_unmeasured(judged), HOW, *corrected_over(judged))
    )


def answers_in_short(judged: pd.DataFrame) -> Section:
    """A line for each claim that was measured. judged: what `judge` returns."""
    counts = judged["answer"].value_counts()
    said = (f"{counts[answer]} {words}" for answer, words in IN_WORDS.items() if answer in counts)
    return Section(
        SectionKind.CLAIMS_IN_SHORT, TITLE, answers_grid_in_short(judged), how=(f"claims: {', '.join(said)}",)
    )


def answers_grid_in_short(judged: pd.DataFrame) -> Grid:
    """Answer, difference, the p that decides, and what was claimed: last, for it is long."""
    rows = as_dicts(judged[judged["n"] > 0])
    found = [
        Column("answer", tuple(row["answer"] for row in rows), words=True),
        Column("difference", tuple(_difference(row) for row in rows)),
        Column("p Holm", tuple(p_text(row["t_p_holm"]) for row in rows), dropped=COST),
    ]
    if _several(rows):
        found.append(Column("where", tuple(map(_where, rows)), words=True, dropped=GAIN))
    return Grid((*found, Column("claim", tuple(row["claim"] for row in rows), words=True, cut=True)))


def corrected_over(judged: pd.DataFrame) -> Iterator[str]:
    """What the answers were corrected for, and which p decides; nothing where none is a test's."""
    tests = judged[judged["tests"].notna()].groupby("deviations")["tests"].first()
    for deviations, count in tests.items():
        whose = f"the claims of what deviates by {deviations}" if deviations else "all claims of the benchmark"
        yield (
            f"answers by Student's test at 5 %, corrected together over {whose}, settings counted apart: "
            f"{count} test{'' if count == 1 else 's'}. p Holm decides; p: the exact sign-flip test, uncorrected"
        )


def answers_grid(judged: pd.DataFrame) -> Grid:
    """The claims that were measured, one row per setting."""
    rows = as_dicts(judged[judged["n"] > 0])
    found = [
        Column("answer", tuple(undecided_text(row["answer"], row["seeds_needed"]) for row in rows), words=True),
        Column("claim", tuple(_claim(row) for row in rows), name=True),
        Column("compared", tuple(_compared(row) for row in rows), name=True),
    ]
    if _several(rows):
        found.append(Column("where", tuple(_where(row) for row in rows), name=True))
    found += [
        Column("difference", tuple(_difference(row) for row in rows)),
        Column("over", tuple(drawn(row) for row in rows), name=True),
        Column("p", tuple(p_text(row["p"]) for row in rows), dropped=COST),
        Column("p Holm", tuple(p_text(row["t_p_holm"]) for row in rows)),
    ]
    if any(row["reason"] for row in rows):
        found.append(Column("note", tuple(row["reason"] for row in rows), name=True))
    return Grid(tuple(found))


def told(grid: Grid) -> Iterator[tuple[str, str, str]]:
    """Of each row of `answers_grid` the answer, the claim, and its numbers as a list: in columns, sentences would be a
    word wide.
    """
    headers = [column.header for column in grid.columns]
    for row in grid.rows:
        cells = dict(zip(headers, row, strict=True))
        answer, claim, compared = cells.pop("answer"), cells.pop("claim"), cells.pop("compared")
        yield answer, claim, ", ".join([compared, *(f"{name} {value}" for name, value in cells.items() if value)])


def _several(rows: Iterable[Mapping[str, Any]]) -> bool:
    """Whether a row must say where it is from."""
    return len({_where(row) for row in rows}) > 1 or any(row["deviations"] for row in rows)


def _claim(row: Mapping[str, Any]) -> str:
    return f"{row['claim']} ({row['paper']})" if row["paper"] else str(row["claim"])


def _compared(row: Mapping[str, Any]) -> str:
    ours, theirs = (
        f"{row[name]}:{row[of]}" if row[of] else str(row[name])
        for name, of in (("better", "predictor"), ("than", "than_predictor"))
    )
    metric = row["metric"] if row["metric"] == row["than_metric"] else f"{row['metric']} vs {row['than_metric']}"
    words = [f"{ours} vs {theirs}"]
    if metric != "top1":
        words.append(f"{metric}{', less is better' if row['smaller'] else ''}")
    if row["at_least"]:
        words.append(f"by over {row['at_least']:g}")
    return ", ".join(words)


def _where(row: Mapping[str, Any]) -> str:
    words = " ".join(part for part in (row["dataset"], *place_of(row), pair_of(row)) if part)
    return f"{words} (deviates: {row['deviations']})" if row["deviations"] else words


def _difference(row: Mapping[str, Any]) -> str:
    """'+2.96 ±0.14'; '+3.41 M' of numbers that are counted, which have no interval where they are the same for all."""
    half = (row["ci_high"] - row["ci_low"]) / 2
    if row["metric"] in COUNTED_METRICS and abs(row["difference"]) >= LEAST_COUNTED:
        error = f" ±{count_text(half)}" if half > 0 else ""
        return f"{'-' if row['difference'] < 0 else '+'}{count_text(abs(row['difference']))}{error}"
    digits = ".2f" if abs(row["difference"]) >= 1 or "top" in row["metric"] else ".3g"
    return f"{row['difference']:+{digits}}" + ("" if math.isnan(half) else f" ±{half:{digits}}")


def _unmeasured(judged: pd.DataFrame) -> Iterator[str]:
    """Why claims have no answer, one line for those that share the reason."""
    rows = judged[judged["answer"] == Answer.UNMEASURED]
    for reason, group in rows.groupby("reason", sort=False):
        yield f"not measured, for {reason}: {'; '.join(dict.fromkeys(group['claim']))}"
