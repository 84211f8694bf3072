"""Reports as LaTeX tables (booktabs): those that papers print, and on request every section."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from kdharness.report.document import endings, nothing, sections
from kdharness.report.paper.build import paper_tables
from kdharness.report.tex.letters import head_for
from kdharness.report.tex.methods import method_floats
from kdharness.report.tex.sections import section_floats
from kdharness.report.view import Report

PACKAGES = (
    "% Needs \\usepackage{booktabs}. Every table fits the text of a plain article; in two columns, one of them or, as\n"
    "% table*, the whole page."
)


def as_latex(reports: Iterable[Report], whole: bool = True) -> str:
    """Tables to \\input. whole: with tables for every section, after those that papers print."""
    labels: dict[str, int] = {}
    text = "\n\n".join(block for report in reports for block in _blocks(report, whole, labels))
    letters = head_for("\n".join(line for line in text.splitlines() if not line.startswith("%")))
    return "\n".join([PACKAGES, *([letters] if letters else []), "", text]) + "\n"


def _blocks(report: Report, whole: bool, labels: dict[str, int]) -> Iterator[str]:
    if report.is_empty:
        yield f"% {nothing(report)}"
    for table in paper_tables(report):
        yield from method_floats(table, report.note, labels)
    if whole:
        for section in sections(report):
            yield from section_floats(section, report.note, labels)
    lines = endings(report)
    if lines:
        yield "\n".join(f"% {line}" for line in lines)
