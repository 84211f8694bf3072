"""Sections of a report as LaTeX tables: as many beside and below each other as pages have room for."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from kdharness.report.sections.answers import told
from kdharness.report.sections.grid import Column, Grid
from kdharness.report.sections.section import Section, SectionKind
from kdharness.report.tex.floats import continued, floating, label_of, line, paragraph, stack
from kdharness.report.tex.letters import breakable, escape, sentences
from kdharness.report.tex.parts import SEPARATION, SIZE, Measured, Part, Placed, parts_across, rows_down
from kdharness.report.tex.widths import PAGE_HEIGHT, PAGE_WIDTH, Size, height_of

RULES, RULE = 30.0, 4.0  # what lines and space take around a table and before a group, in points
_SPREAD, _SPAN = re.compile(r"(\S+) ( *)(±\S+)"), re.compile(r"(\d+)-(\d+)")


def section_floats(section: Section, note: str, labels: dict[str, int]) -> Iterator[str]:
    """One table, or several that refer to the first; what is to be said below stands under the last."""
    grid = _of_claims(section.grid) if section.kind is SectionKind.CLAIMS else section.grid
    if not section.grid.rows:
        yield _after((section.title, *section.below))
        return
    caption, first = sentences((section.title, note, section.banner)), ""
    room = PAGE_HEIGHT - RULES - height_of([caption], Size.NORMAL, PAGE_WIDTH)
    pieces = [(part, rows) for part in parts_across(grid) for rows in rows_down(grid, room, _row_height(grid, part))]
    for number, (part, rows) in enumerate(pieces, 1):
        label = label_of(section.title, labels)
        head = continued(section.title, first) if first else breakable(caption)
        first = first or label
        used = sum(map(_row_height(grid, part), rows)) + height_of(section.below, SIZE, PAGE_WIDTH)
        last, fits = number == len(pieces), used <= room
        notes = _notes(section.below) if last and fits else ""
        yield floating(head, label, _tabular(grid, part, rows), SIZE, part.width, SEPARATION, notes)
        if last and not fits:
            yield _after(section.below, rf"Notes to Table~\ref{{{first}}}: ")


def _of_claims(grid: Grid) -> Grid:
    """The answer, and the claim with its numbers under it."""
    each = list(told(grid))
    answers = tuple(text for answer, _, _ in each for text in (answer, ""))
    texts = tuple(text for _, claim, numbers in each for text in (claim, numbers))
    return Grid((Column("answer", answers, name=True), Column("claim", texts, words=True)))


# -- how high ---------------------------------------------------------------------------------------------------------


def _row_height(grid: Grid, part: Part) -> Callable[[int], float]:
    """Of a row of the grid, in points, with the label above it where there is one."""
    labels = dict(grid.groups)

    def height(row: int) -> float:
        lines = max(placed.lines_of(placed.measured.column.values[row]) for placed in part.columns)
        return SIZE.line * (lines + (row in labels)) + (RULE if row in labels else 0)

    return height


# -- the table --------------------------------------------------------------------------------------------------------


def _tabular(grid: Grid, part: Part, rows: Sequence[int]) -> Iterator[str]:
    columns, labels = part.columns, dict(grid.groups)
    sides = "".join("l" if placed.measured.is_text else "r" for placed in columns)
    yield rf"\begin{{tabular}}{{@{{}}{sides}@{{}}}}"
    yield r"\toprule"
    yield line(_header(placed.measured) for placed in columns)
    yield r"\midrule"
    for row in rows:
        if row == rows[0] or row in labels:
            yield from _group(_label_at(labels, row), len(columns), row == rows[0])
        yield line(_cell(placed, row) for placed in columns)
    yield r"\bottomrule"
    yield r"\end{tabular}"


def _group(label: str, columns: int, is_first: bool) -> Iterator[str]:
    if label and not is_first:
        yield r"\midrule"
    if label:
        yield rf"\multicolumn{{{columns}}}{{@{{}}l@{{}}}}{{\textit{{{escape(label)}}}}} \\"


def _label_at(labels: Mapping[int, str], row: int) -> str:
    """Of the regime that a row is of."""
    return labels[max(start for start in labels if start <= row)] if any(start <= row for start in labels) else ""


def _header(measured: Measured) -> str:
    return stack(map(escape, measured.header), "l" if measured.is_text else "r")


def _cell(placed: Placed, row: int) -> str:
    text = placed.measured.column.values[row]
    if not placed.measured.is_text:
        return _number(text)
    words = " ".join(text.split())
    return escape(words) if math.isnan(placed.width) else paragraph(breakable(words), placed.share)


def _number(text: str) -> str:
    """With room of digits for the blanks that bring points below each other."""
    if spread := _SPREAD.fullmatch(text):
        left, blanks, error = spread.groups()
        room = rf"\phantom{{{'0' * len(blanks)}}}" if blanks else ""
        return f"{escape(left)} {room}{escape(error)}"
    if span := _SPAN.fullmatch(text):
        return "--".join(span.groups())
    number = text.strip()
    missing = len(text) - len(text.rstrip()) - 1
    return escape(number) + (rf" \phantom{{$\pm${'0' * (missing - 2)}.}}" if number and missing > 2 else "")


# -- what stands below ------------------------------------------------------------------------------------------------


def _notes(lines: Sequence[str]) -> str:
    said = r"\par ".join(map(breakable, lines))
    return rf"\par\smallskip\parbox{{\linewidth}}{{{SIZE.command}\raggedright {said}}}" if said else ""


def _after(lines: Sequence[str], head: str = "") -> str:
    """Text of its own, for what has no table, or has no room on its page. head: as LaTeX."""
    said = "\\par\n\\noindent ".join(map(breakable, lines))
    return rf"{{{SIZE.command}\raggedright\noindent {head}{said}\par}}"
