"""What was measured beside what others published."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from kdharness.planning.cell import TEACHER
from kdharness.protocol.variant import shown
from kdharness.report.sections.grid import Column, Grid, with_error
from kdharness.report.sections.section import Section, SectionKind
from kdharness.report.sections.titles import joined
from kdharness.stats.published import WITHIN, Compared, Match, PublishedBeside, PublishedSpread, width

HOW = (
    f"reproduced: within {WITHIN} points, or between the lowest and the highest of those who ran it; published by the "
    "best epoch on test is held against top1_test_oracle, all other against the last epoch"
)
LISTED = "listed: printed by who did not say that they ran it"
SPREAD_HOW = (
    "by those who ran them, whatever their recipe; points between the lowest and the highest, of all and of those that "
    "say the same recipe and parameters"
)
RULES = {"last": "last", "best": "best on test", "validation": "validation", "": "not said"}
KINDS = {"own": "", "rerun": "", "listed": " (listed)"}


def published_sections(beside: PublishedBeside) -> Iterator[Section]:
    """The comparison, then how far published runs of the same lie apart, if more than one is known."""
    where = joined(beside.benchmark, beside.dataset)
    listed = (LISTED,) if any(each.kind == "listed" for each in beside.compared) else ()
    how = (HOW, *listed, *_parameters(beside.compared))
    remarks = tuple(_reasons(beside.compared))
    title = joined(where, "beside published numbers")
    yield Section(SectionKind.PUBLISHED, title, published_grid(beside.compared), remarks=remarks, how=how)
    if beside.spreads:
        title = joined(where, "published runs of the same")
        yield Section(SectionKind.PUBLISHED_SPREAD, title, spread_grid(beside.spreads), how=(SPREAD_HOW,))


def published_grid(compared: Sequence[Compared]) -> Grid:
    """A row for each published number, networks alone first."""
    names = [_method(each) for each in compared]
    differences = [math.nan if each.reason else each.difference for each in compared]
    means = [each.measured.mean for each in compared]
    letters = _letters(compared)
    verdicts = (f"{each.verdict.value}{letters.get(each.reason, '')}" for each in compared)
    return Grid(
        (
            Column("method", tuple(names), name=True),
            Column("pair", tuple(_pair(each.teacher, each.student) for each in compared), name=True),
            Column("measured ±sd", with_error(means, [each.measured.sd for each in compared])),
            Column("n", tuple(str(each.measured.n) for each in compared)),
            Column("published", tuple(f"{each.published:.2f}" for each in compared)),
            Column("epoch", tuple(RULES[each.rule] for each in compared), words=True),
            Column("source", tuple(f"{each.source}{KINDS[each.kind]}" for each in compared), words=True),
            Column("diff", tuple("" if math.isnan(d) else f"{d:+.2f}" for d in differences)),
            Column("verdict", tuple(verdicts), words=True),
        )
    )


def spread_grid(spreads: Sequence[PublishedSpread]) -> Grid:
    """A row for each method and pair."""
    lows, highs = ([spread.runs[end] for spread in spreads] for end in (0, -1))
    return Grid(
        (
            Column("method", tuple(spread.method for spread in spreads), name=True),
            Column("pair", tuple(_pair(spread.teacher, spread.student) for spread in spreads), name=True),
            Column("n", tuple(str(len(spread.runs)) for spread in spreads)),
            Column("lowest", tuple(f"{top1:.2f} {source}" for source, top1 in lows), words=True),
            Column("highest", tuple(f"{top1:.2f} {source}" for source, top1 in highs), words=True),
            Column("points", tuple(f"{width(spread.runs):.2f}" for spread in spreads)),
            Column("alike", tuple(_points(width(spread.alike)) for spread in spreads)),
        )
    )


def _points(number: float) -> str:
    return "" if math.isnan(number) else f"{number:.2f}"


def _method(each: Compared) -> str:
    name = "(teacher)" if each.role == TEACHER else each.method
    return f"{name} (by pair)" if each.tuned else name


def _pair(teacher: str, student: str) -> str:
    return f"{teacher}:{student}" if teacher else student


def _parameters(compared: Sequence[Compared]) -> Iterator[str]:
    """A line for each method of the published track: values that its authors chose, and the pairs that have them."""
    found: dict[str, dict[str, dict[str, None]]] = {}
    for each in compared:
        if each.by_pair:
            values = " ".join(f"{name}={shown(value)}" for name, value in sorted(each.by_pair.items()))
            found.setdefault(each.method, {}).setdefault(values, {})[_pair(each.teacher, each.student)] = None
    for method, pairs in sorted(found.items()):
        each_value = "; ".join(f"{values} for {', '.join(those)}" for values, those in pairs.items())
        yield f"{method} in the published track: {each_value}"


def _letters(compared: Sequence[Compared]) -> dict[str, str]:
    """By reason, the mark that stands behind its verdicts."""
    reasons = dict.fromkeys(each.reason for each in compared if each.verdict is Match.NOT_COMPARABLE)
    return {reason: f" ({number})" for number, reason in enumerate(reasons, 1)}


def _reasons(compared: Sequence[Compared]) -> Iterator[str]:
    return (f"not comparable{mark}: {reason}" for reason, mark in _letters(compared).items())
