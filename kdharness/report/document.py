"""What every format shares: the sections of a report in order, and the lines after them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from kdharness.report.sections.added import added_section
from kdharness.report.sections.answers import answers_in_short, answers_section
from kdharness.report.sections.audit import audit_section
from kdharness.report.sections.mean_gains import mean_gains_section
from kdharness.report.sections.outputs import outputs_section
from kdharness.report.sections.parts import parts_sections
from kdharness.report.sections.private_images import private_images_section
from kdharness.report.sections.published import published_sections
from kdharness.report.sections.ranking import ranking_section
from kdharness.report.sections.recipes import recipes_section
from kdharness.report.sections.section import Section, Short
from kdharness.report.sections.teacher_spread import teacher_spread_section
from kdharness.report.view import Report
from kdharness.stats.former_rows import FormerCells
from kdharness.stats.outcomes import Problem
from kdharness.text import plain, printable

TIMES = "\N{MULTIPLICATION SIGN}"
MOST_LISTED = 12


def sections(report: Report, whole: bool = True) -> Iterator[Section]:
    """A report's sections, in their order. Their words are on one line each, and printable.

    whole: with those for which `in_short` has a line, and all that is to be said of claims.
    """
    return (section.printable() for section in _sections(report, whole) if whole or section.short is None)


def in_short(report: Report) -> tuple[str, ...]:
    """A line for each section that is left out where not the whole is shown."""
    found = [(short, each.banner) for each in _sections(report, False) if (short := each.short) is not None]
    several = len({short.where for short, _ in found}) > 1
    return tuple(printable(_line(short, several, deviates)) for short, deviates in found)


def _line(short: Short, several: bool, deviates: str) -> str:
    about = (short.where if several else "", deviates)
    where = "; ".join(filter(None, about))
    return f"{short.what} ({where}): {short.says}" if where else f"{short.what}: {short.says}"


def _sections(report: Report, whole: bool) -> Iterator[Section]:
    ranked = [(ranking.deviations, _ranked(report, place)) for place, ranking in enumerate(report.rankings)]
    yield from (section for deviations, section in ranked if not deviations)
    for place, overall in enumerate(report.overalls):
        yield replace(mean_gains_section(overall), figures=report.charts.of_overall(place))
    yield from map(recipes_section, report.recipes)
    yield from (section for deviations, section in ranked if deviations)
    for ranking, columns in zip(report.rankings, report.added, strict=bool(report.added)):
        if (section := added_section(ranking, columns)) is not None:
            yield section
    yield from map(outputs_section, report.exits)
    yield from map(private_images_section, report.privacy)
    yield from map(audit_section, report.audits)
    yield from map(teacher_spread_section, report.spreads)
    yield from parts_sections(report.effects)
    if len(report.claims):
        yield answers_section(report.claims) if whole else answers_in_short(report.claims)
    for beside in report.published:
        yield from published_sections(beside)
    yield from report.made


def _ranked(report: Report, place: int) -> Section:
    """A ranking, with what must be known of its dataset, and all its figures."""
    ranking = report.rankings[place]
    section = ranking_section(ranking)
    note = report.notes.get((ranking.names["benchmark"], ranking.names["dataset"]), "")
    remarks = (plain(note), *section.remarks) if note else section.remarks
    figures = (*section.figures, *report.charts.of_ranking(place))
    return replace(section, remarks=remarks, figures=figures, facts=report.appendix.of_ranking(place))


def problem_words(problem: Problem) -> str:
    """The methods that a problem is of, with the number of their cells."""
    listed = [f"{name} {TIMES}{count}" if count > 1 else name for name, count in problem.what]
    more = len(listed) - MOST_LISTED
    return ", ".join(listed if more <= 0 else [*listed[:MOST_LISTED], f"and {more} more"])


def problem_line(problem: Problem, trace: str = "") -> str:
    what = f"{problem.status.replace('_', ' ')} {problem.count}: {problem_words(problem)}"
    reason = "; ".join(filter(None, (problem.reason, trace)))
    return f"{what} ({reason})" if reason else what


def stale_line(count: int) -> str:
    results = "1 stale result is" if count == 1 else f"{count} stale results are"
    return f"{results} kept on disk and left out: no plan produces them any more, or their teachers have other weights"


def former_line(former: FormerCells) -> str:
    """'6 cells of older revisions are left out: kd of revision 1 (2 counts)'."""
    cells = "1 cell of an older revision is" if former.cells == 1 else f"{former.cells} cells of older revisions are"
    more = len(former.names) - MOST_LISTED
    names = [*former.names[:MOST_LISTED], *([f"and {more} more"] if more > 0 else [])]
    return f"{cells} left out: {', '.join(names)}"


def left_out(report: Report) -> list[str]:
    """What is there, and enters no table."""
    former = [printable(former_line(report.former))] if report.former.cells else []
    return [*former, stale_line(report.stale)] if report.stale else former


def endings(report: Report) -> list[str]:
    """What did not go well, grouped by reason, and what was left out."""
    lines = [
        *(problem_line(problem, report.traces.get(problem.cell, "")) for problem in report.problems),
        *report.doubts,
    ]
    return [*lines, *left_out(report)]


def nothing(report: Report) -> str:
    return f"{report.name or 'results'}: nothing is measured yet"
