"""Reports as GitHub's Markdown, for a README or a pull request: the tables that papers print, then sections."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator

from kdharness.report.document import endings, in_short, nothing, sections
from kdharness.report.paper.build import paper_tables
from kdharness.report.paper.caption import DAGGER
from kdharness.report.paper.table import PaperRow, PaperTable, Score
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
    for table in paper_tables(report):
        yield from _paper(table)
    for section in sections(report, whole):
        yield f"### {_escape(section.title)}"
        if section.banner:
            yield f"**{_escape(section.banner)}**"
        yield _grid(section.grid)
        yield "  \n".join(_escape(line) for line in section.below)
    for lines in (() if whole else in_short(report), endings(report)):
        if lines:
            yield "\n".join(f"- {_escape(line)}" for line in lines)


def _paper(table: PaperTable) -> Iterator[str]:
    yield f"### {_escape(table.about)}"
    if table.deviations:
        yield f"**{_escape(f'deviates from the benchmark: {table.deviations}')}**"
    if table.note:
        yield f"*{_escape(table.note)}*"
    yield "\n".join(_methods_by_pairs(table))
    yield _escape(table.caption)


def _methods_by_pairs(table: PaperTable) -> Iterator[str]:
    blank, gains = [""] * len(table.pairs), [_escape(table.gains)] if table.gains else []
    yield _line(
        ["", *(_escape(f"{teacher}:{student}" if teacher else student) for teacher, student in table.pairs), *gains]
    )
    yield _line(["---", *["---:"] * (len(table.pairs) + len(gains))])
    yield _line(
        ["*teacher*", *("" if math.isnan(top1) else f"{top1:.2f}" for top1 in table.teachers), *[""] * len(gains)]
    )
    if table.student is not None:
        yield _row(table.student, "*student alone*", table.gains)
    for label, rows in table.groups:
        if label:
            yield _line([f"*{_escape(label)}*", *blank, *[""] * len(gains)])
        for row in rows:
            yield _row(row, _escape(row.name), table.gains)


def _row(row: PaperRow, name: str, gains: str) -> str:
    """name: as Markdown."""
    gain = "" if math.isnan(row.gain) else f"{row.gain:+.2f}{_spread(row.half)}"
    return _line([name, *map(_score, row.scores), *([gain] if gains else [])])


def _score(score: Score) -> str:
    if math.isnan(score.mean):
        return ""
    mean = f"**{score.mean:.2f}**" if score.best else f"{score.mean:.2f}"
    mark = f" {DAGGER}" if score.tied else f" ({score.seeds})" if score.seeds else ""
    return f"{mean}{_spread(score.sd)}{mark}"


def _spread(half: float) -> str:
    return "" if math.isnan(half) else f" ±{half:.2f}"


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
