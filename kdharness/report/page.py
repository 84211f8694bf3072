"""Reports as one HTML page that stands by itself: no script, no font, no picture from elsewhere.

Its template, style and script lie in `assets`. Without the script all is there and readable; with it tables are sorted
and filtered.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from itertools import pairwise
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from kdharness.report.charts.words import numbers_of, reading_of
from kdharness.report.document import left_out, nothing, problem_line, sections
from kdharness.report.drawing.elements import breakable
from kdharness.report.drawing.figures import as_element
from kdharness.report.drawing.gains import is_wide
from kdharness.report.figures import CurveFigure, Figure, GainFigure, HeatFigure, ProfileFigure, ReliabilityFigure
from kdharness.report.sections.grid import Column, Grid
from kdharness.report.sections.section import Section, SectionKind
from kdharness.report.view import Report

# A larger table is not carried along, but lies beside the results.
MOST_TABLE_BYTES = 8 * 2**20
MEBIBYTE = 2**20


def as_page(reports: Iterable[Report]) -> str:
    reports = list(reports)
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(breakable=breakable, drawn=as_element)
    title = "kdharness: " + ", ".join(report.name or "results" for report in reports)
    return (
        environment.from_string(_asset("page.html")).render(
            title=title,
            style=Markup(_asset("page.css")),
            script=Markup(_asset("page.js")),
            reports=[_report(report) for report in reports],
            choices=_choices([section for report in reports for section in sections(report)]),
        )
        + "\n"
    )


def _asset(name: str) -> str:
    return (files("kdharness.report") / "assets" / name).read_text(encoding="utf-8")


# -- what the template shows ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cell:
    """Of a table. kind: its classes as an attribute. is_name: whether it heads its row."""

    text: str
    kind: Markup
    is_name: bool


@dataclass(frozen=True)
class Line:
    """A row. name: the competitor that it is of, '' for none; method: without its variant."""

    cells: tuple[Cell, ...]
    name: str
    is_first: bool

    @property
    def method(self) -> str:
        return _method(self.name)


@dataclass(frozen=True)
class Group:
    """Rows of one regime. label: its name, '' for the usual one."""

    label: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Table:
    """caption: for those who do not see what stands above it."""

    caption: str
    columns: tuple[Column, ...]
    groups: tuple[Group, ...]


@dataclass(frozen=True)
class Drawing:
    """A figure, how to read it and its numbers."""

    figure: Figure
    reading: str
    numbers: Table | None

    @property
    def is_wide(self) -> bool:
        """Whether nothing stands beside it."""
        if isinstance(self.figure, GainFigure):
            return is_wide(self.figure)
        return isinstance(self.figure, CurveFigure | ReliabilityFigure | HeatFigure | ProfileFigure)


@dataclass(frozen=True)
class Part:
    """A section. setting: of a ranking, what it is chosen by."""

    section: Section
    table: Table
    drawings: tuple[Drawing, ...]
    setting: str


@dataclass(frozen=True)
class Download:
    """A table as its file. href: '' where it is too large."""

    name: str
    size: str
    href: str


def _report(report: Report) -> dict[str, Any]:
    problems = [
        (problem_line(problem, report.traces.get(problem.cell, "")), report.appendix.tracebacks.get(problem.cell, ""))
        for problem in report.problems
    ]
    lines = [*report.doubts, *left_out(report)]
    return {
        "name": report.name, "progress": report.progress, "note": report.note, "nothing": nothing(report),
        "parts": [_part(section) for section in sections(report)], "problems": problems, "left_out": lines,
        "downloads": [_download(name, text) for name, text in report.appendix.tables.items()],
    }  # fmt: skip


def _part(section: Section) -> Part:
    drawings = tuple(_drawing(figure) for figure in section.figures)
    setting = section.title if section.kind is SectionKind.RANKING else ""
    return Part(section, _table(section.grid, section.title), drawings, setting)


def _drawing(figure: Figure) -> Drawing:
    numbers = numbers_of(figure)
    return Drawing(figure, reading_of(figure), _table(numbers, f"{figure.title}, numbers") if numbers else None)


def _table(grid: Grid, caption: str) -> Table:
    starts = dict(grid.groups)
    bounds = [*sorted({0, *starts}), len(grid.rows)]
    lines = list(_lines(grid))
    groups = (Group(starts.get(first, ""), tuple(lines[first:end])) for first, end in pairwise(bounds))
    return Table(caption, grid.columns, tuple(groups))


def _lines(grid: Grid) -> Iterator[Line]:
    """A name that is left blank is that of the row above."""
    head = next((place for place, column in enumerate(grid.columns) if column.name), -1)
    name = ""
    for number, row in enumerate(grid.rows):
        name = (row[head] if head >= 0 else "") or name
        cells = (
            Cell(text, _kind(column, text), place == head)
            for place, (text, column) in enumerate(zip(row, grid.columns, strict=True))
        )
        yield Line(tuple(cells), name, number in grid.best)


def _kind(column: Column, cell: str) -> Markup:
    """The classes of a cell as an attribute: whether it holds words, and which, for some have a colour."""
    classes = [
        *(["words"] if column.name or column.words else []),
        *([cell.partition(" (")[0].replace(" ", "-")] if column.words and cell else []),
    ]
    return Markup(' class="{}"').format(" ".join(classes)) if classes else Markup()


def _choices(found: Iterable[Section]) -> dict[str, list[str]]:
    """What rows can be chosen by: methods, regimes and settings of the rankings. One alone is no choice."""
    ranked = [section for section in found if section.kind is SectionKind.RANKING]
    names = {_method(line.name) for section in ranked for line in _lines(section.grid)}
    regimes = {label for section in ranked for _, label in section.grid.groups}
    usual = ["usual"] if any(0 not in dict(section.grid.groups) for section in ranked) else []
    each = {
        "method": sorted(names), "regime": [*usual, *sorted(regimes)],
        "setting": list(dict.fromkeys(section.title for section in ranked)),
    }  # fmt: skip
    return {what: values for what, values in each.items() if len(values) > 1}


def _method(name: str) -> str:
    return name.partition("[")[0]


def _download(name: str, text: str) -> Download:
    content = text.encode("utf-8")
    size = f"{len(content) / 1000:.0f} kB" if len(content) < MEBIBYTE else f"{len(content) / MEBIBYTE:.1f} MiB"
    if len(content) > MOST_TABLE_BYTES:
        return Download(name, size, "")
    return Download(name, size, f"data:text/csv;charset=utf-8;base64,{base64.b64encode(content).decode('ascii')}")
