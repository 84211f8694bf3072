"""Reports as Markdown, for a README or an issue."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from kdharness.report.document import endings, in_short, nothing, sections
from kdharness.report.sections.grid import Grid
from kdharness.report.view import Report

# What begins a list or underlines a title, where a line begins with it.
_LIST = re.compile(r"^(\d*)([-+=.)])(?=\s|$|[-=])")

# What GitHub links wherever it stands, escaped or not: people, issues, addresses. A comment between is not shown.
_LINKS = re.compile(r"@|#(?=\d)|:(?=//)|www(?=\.)", re.IGNORECASE)
_BREAK = "<!-- -->"


def as_markdown(reports: Iterable[Report], whole: bool = True) -> str:
    return "\n\n".join(block for report in reports for block in _blocks(report, whole)) + "\n"


def _blocks(report: Report, whole: bool) -> Iterator[str]:
    if report.note:
        yield f"*{_escape(report.note)}*"
    if report.is_empty:
        yield _escape(nothing(report))
    for section in sections(report, whole):
        yield f"### {_escape(section.title)}"
        if section.banner:
            yield f"**{_escape(section.banner)}**"
        yield _grid(section.grid)
        yield "  \n".join(_escape(line) for line in section.below)
    for lines in (() if whole else in_short(report), endings(report)):
        if lines:
            yield "\n".join(f"- {_escape(line)}" for line in lines)


def _grid(grid: Grid) -> str:
    lines = [_line(_escape(column.header) for column in grid.columns)]
    lines.append(_line("---" if column.name or column.words else "---:" for column in grid.columns))
    labels = dict(grid.groups)
    for i, row in enumerate(grid.rows):
        if i in labels:
            lines.append(_line(f"*{_escape(labels[i])}*" if column.name else "" for column in grid.columns))
        lines.append(_line(_escape(" ".join(cell.split())) for cell in row))
    return "\n".join(lines)


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _escape(text: str) -> str:
    """Signs of Markdown, of HTML entities and of GitHub's mathematics, notices and links are themselves."""
    escaped = "".join(f"\\{c}" if c in "\\|*_[]`<>#&~$!" else c for c in text)
    return _LINKS.sub(rf"\g<0>{_BREAK}", _LIST.sub(r"\1\\\2", escaped))
