"""Reports as LaTeX tables (booktabs): those that papers print, and on request every section."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator

from kdharness.report.document import endings, nothing, sections
from kdharness.report.paper.build import paper_tables
from kdharness.report.paper.caption import DAGGER
from kdharness.report.paper.table import LINE, PaperRow, PaperTable, Score
from kdharness.report.sections.grid import Column, Grid
from kdharness.report.sections.section import Section
from kdharness.report.view import Report

SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "·": r"$\cdot$",
    "\N{MULTIPLICATION SIGN}": r"$\times$", "<": r"$<$", ">": r"$>$", "|": r"$|$", "`": r"\textasciigrave{}",
    DAGGER: r"$\dagger$", "…": r"\ldots{}", "\N{SUPERSCRIPT TWO}": "$^2$",
}  # fmt: skip
PACKAGES = "% Needs \\usepackage{booktabs}."
LETTERS = (
    "% Names hold letters that pdfLaTeX does not know by itself: use XeLaTeX or LuaLaTeX with a font that has them\n"
    "% (\\usepackage{fontspec} \\setmainfont{...}), or packages of their script (CJKutf8; fontenc with T1, T2A, LGR)."
)
# Beyond these, fonts of the default encoding have nothing.
LAST_OF_LATIN = "\N{LATIN SMALL LETTER Y WITH DIAERESIS}"
SHARE_OF_NAMES, SHARE_OF_NUMBERS = 0.3, 0.08  # of a line, for a column of names that are long, and one of numbers
# Two columns, so that means stand below each other whatever their deviations are.
NUMBER = r"r@{\,}l"


def as_latex(reports: Iterable[Report], whole: bool = True) -> str:
    """Tables to \\input. whole: with a table for every section, after those that papers print."""
    labels: dict[str, int] = {}
    text = "\n\n".join(block for report in reports for block in _blocks(report, whole, labels))
    foreign = any(c > LAST_OF_LATIN for c in text)
    return "\n".join([PACKAGES, *([LETTERS] if foreign else []), "", text]) + "\n"


def _blocks(report: Report, whole: bool, labels: dict[str, int]) -> Iterator[str]:
    if report.is_empty:
        yield f"% {nothing(report)}"
    for table in paper_tables(report):
        yield from _paper(table, report.note, labels)
    if whole:
        for section in sections(report):
            yield _section(section, report.note, labels)
    lines = endings(report)
    if lines:
        yield "\n".join(f"% {line}" for line in lines)


def _float(caption: str, label: str, tabular: Iterable[str], size: str = "") -> str:
    """caption: as LaTeX."""
    head = [r"\begin{table}", r"\centering", rf"\caption{{{caption}}}", rf"\label{{{label}}}", r"\par\smallskip"]
    return "\n".join([*head, *([size] if size else []), *tabular, r"\end{table}"])


def _label(text: str, labels: dict[str, int]) -> str:
    """'tab:digits-few100': ASCII, and another for each table of a document. labels: how often each was given."""
    name = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:60] or "table"
    labels[name] = labels.get(name, 0) + 1
    return f"tab:{name}" if labels[name] == 1 else f"tab:{name}--{labels[name]}"


# -- what papers print ------------------------------------------------------------------------------------------------


def _paper(table: PaperTable, note: str, labels: dict[str, int]) -> Iterator[str]:
    """One table, or several where it is too wide or too long for a page."""
    deviates = f"Deviates from the benchmark: {table.deviations}" if table.deviations else ""
    said = (f"{text.rstrip('.')}." for text in (table.about, deviates, note or table.note, table.caption) if text)
    first = ""
    for part in table.parts():
        label = _label(f"{table.about} {table.deviations}", labels)
        caption = rf"{escape(table.about)}. Continues Table~\ref{{{first}}}." if first else escape(" ".join(said))
        first = first or label
        yield _float(caption, label, _methods_by_pairs(part))


def _methods_by_pairs(table: PaperTable) -> Iterator[str]:
    pairs, gains = len(table.pairs), 1 if table.gains else 0
    yield rf"\begin{{tabular}}{{l{NUMBER * (pairs + gains)}}}"
    yield r"\toprule"
    over = [_across(escape(table.gains))] * gains
    yield _line(["Teacher", *(_across(escape(teacher)) for teacher, _ in table.pairs), *over])
    yield _line(["", *(_across("" if math.isnan(t) else f"{t:.2f}") for t in table.teachers), *[_across("")] * gains])
    yield _line(["Student", *(_across(escape(student)) for _, student in table.pairs), *[_across("")] * gains])
    if table.student is not None:
        yield _row(table.student, "", table.gains)
    for label, rows in table.groups:
        yield r"\midrule"
        if label:
            yield rf"\multicolumn{{{1 + 2 * (pairs + gains)}}}{{l}}{{\textit{{{escape(label)}}}}} \\"
        for row in rows:
            yield _row(row, _name(row.name), table.gains)
    yield r"\bottomrule"
    yield r"\end{tabular}"


def _across(text: str) -> str:
    return rf"\multicolumn{{2}}{{c}}{{{text}}}"


def _row(row: PaperRow, name: str, gains: str) -> str:
    """name: as LaTeX."""
    cells = [name, *(cell for score in row.scores for cell in _score(score))]
    if gains:
        known, half = not math.isnan(row.gain), not math.isnan(row.half)
        cells += [_signed(row.gain) if known else "", _spread(f"{row.half:.2f}") if half else ""]
    return _line(cells)


def _score(score: Score) -> tuple[str, str]:
    """Mean, and what stands right of it."""
    if math.isnan(score.mean):
        return "", ""
    mean = f"{score.mean:.2f}"
    spread = "" if math.isnan(score.sd) else _spread(f"{score.sd:.2f}")
    mark = r"$^{\dagger}$" if score.tied else rf"\,({score.seeds})" if score.seeds else ""
    return rf"\textbf{{{mean}}}" if score.best else mean, f"{spread}{mark}"


def _spread(number: str) -> str:
    return rf"{{\footnotesize$\pm$\,{number}}}"


def _signed(number: float) -> str:
    return f"${number:+.2f}$"


def _name(name: str, share: float = SHARE_OF_NAMES) -> str:
    """Long ones may be broken, after each of their parameters. share: of a line, that they have."""
    if len(name) <= LINE:
        return escape(name)
    broken = r"\allowbreak{}".join(escape(piece) for piece in re.split(r"(?<=[,\[=_.-])", name) if piece)
    return rf"\parbox[t]{{{share:.2f}\linewidth}}{{\raggedright\hangindent=1em {broken}\strut}}"


# -- sections ---------------------------------------------------------------------------------------------------------


def _section(section: Section, note: str, labels: dict[str, int]) -> str:
    caption = ". ".join(part.rstrip(".") for part in (section.title, note, section.banner, *section.below) if part)
    return _float(escape(caption), _label(section.title, labels), _tabular(section.grid), r"\scriptsize")


def _tabular(grid: Grid) -> Iterator[str]:
    yield rf"\begin{{tabular}}{{{''.join('l' if c.name or c.words else 'r' for c in grid.columns)}}}"
    yield r"\toprule"
    yield _line(escape(column.header) for column in grid.columns)
    yield r"\midrule"
    labels, share = dict(grid.groups), _share(grid)
    for i, row in enumerate(grid.rows):
        if i in labels:
            yield r"\midrule"
            yield rf"\multicolumn{{{len(grid.columns)}}}{{l}}{{\textit{{{escape(labels[i])}}}}} \\"
        yield _line(_cell(cell, column, share) for cell, column in zip(row, grid.columns, strict=True))
    yield r"\bottomrule"
    yield r"\end{tabular}"


def _share(grid: Grid) -> float:
    """Of a line, that each column of long names has."""
    long = sum(column.width > LINE for column in grid.columns)
    return min(SHARE_OF_NAMES, max(0.1, (1 - SHARE_OF_NUMBERS * (len(grid.columns) - long)) / max(1, long)))


def _line(cells: Iterable[str]) -> str:
    line = " & ".join(cells)
    # After the end of the row before, these would be taken as its argument.
    return rf"{'{}' if line.startswith(('[', '*')) else ''}{line} \\"


def _cell(cell: str, column: Column, share: float) -> str:
    text = " ".join(cell.split())
    if column.name or column.words:
        return _name(text, share)
    return f"$-${escape(text[1:])}" if text.startswith("-") else escape(text)


def escape(text: str) -> str:
    """Of two hyphens LaTeX would make a dash."""
    return "".join(SPECIAL.get(c, c) for c in text).replace("--", "-{}-")
