"""Reports as LaTeX tables (booktabs), for a paper."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from kdharness.report.document import endings, nothing, sections
from kdharness.report.sections.grid import Column, Grid
from kdharness.report.sections.section import Section
from kdharness.report.view import Report

SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "·": r"$\cdot$",
    "\N{MULTIPLICATION SIGN}": r"$\times$", "<": r"$<$", ">": r"$>$",
}  # fmt: skip


def as_latex(reports: Iterable[Report], whole: bool = True) -> str:
    """Tables to \\input; they need the packages booktabs and, for names beyond ASCII, inputenc."""
    return "\n\n".join(block for report in reports for block in _blocks(report, whole)) + "\n"


def _blocks(report: Report, whole: bool) -> Iterator[str]:
    if report.is_empty:
        yield f"% {nothing(report)}"
    for section in sections(report, whole):
        yield _table(section, report.note)
    lines = endings(report)
    if lines:
        yield "\n".join(f"% {line}" for line in lines)


def _table(section: Section, note: str) -> str:
    caption = ". ".join(part.rstrip(".") for part in (section.title, note, section.banner, *section.below) if part)
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape(caption)}}}",
        *_tabular(section.grid),
        r"\end{table}",
    ]
    return "\n".join(lines)


def _tabular(grid: Grid) -> Iterator[str]:
    yield rf"\begin{{tabular}}{{{''.join('l' if c.name or c.words else 'r' for c in grid.columns)}}}"
    yield r"\toprule"
    yield _line(escape(column.header) for column in grid.columns)
    yield r"\midrule"
    labels = dict(grid.groups)
    for i, row in enumerate(grid.rows):
        if i in labels:
            yield r"\midrule"
            yield rf"\multicolumn{{{len(grid.columns)}}}{{l}}{{\textit{{{escape(labels[i])}}}}} \\"
        yield _line(_number(cell, column) for cell, column in zip(row, grid.columns, strict=True))
    yield r"\bottomrule"
    yield r"\end{tabular}"


def _line(cells: Iterable[str]) -> str:
    line = " & ".join(cells)
    # After the end of the row before, these would be taken as its argument.
    return rf"{'{}' if line.startswith(('[', '*')) else ''}{line} \\"


def _number(cell: str, column: Column) -> str:
    if column.name or column.words or not cell.startswith("-"):
        return escape(" ".join(cell.split()))
    return f"$-${escape(' '.join(cell[1:].split()))}"


def escape(text: str) -> str:
    return "".join(SPECIAL.get(c, c) for c in text)
