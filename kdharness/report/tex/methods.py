"""Methods by pairs as papers print them: in one column, over the page, or in several tables, as they fit."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kdharness.report.paper.table import MOST_LINES, PaperRow, PaperTable, Score
from kdharness.report.tex.floats import continued, floating, label_of, line, paragraph, stack
from kdharness.report.tex.letters import breakable, escape, sentences
from kdharness.report.tex.widths import (
    BOLD,
    COLUMN_WIDTH,
    PAGE_HEIGHT,
    PAGE_WIDTH,
    Size,
    height_of,
    stacked,
    text_width,
)

# Two columns, so that means stand below each other whatever their deviations are.
NUMBER = r"r@{\,}l"
SEPARATION, THIN = 4.0, 1.7  # left and right of each column, and between a mean and its deviation, in points
LONGEST_NAME = 125.0  # of one line, in points
SHARE_OF_NAMES = 0.3  # of a line, at least, for names that are broken
HEAD_LINES, LEAST_LINES = 7, 8
SLACK = 1.2  # lines of broken names are not full
_AFTER_SIGNS = re.compile(r"(?<=[+_:. -])")


@dataclass(frozen=True)
class Layout:
    """How a table is set. room: in points, of a column or a page; names: of it for names that are broken.

    pairs: beside each other.
    """

    size: Size
    room: float
    pairs: int
    names: float


def method_floats(table: PaperTable, note: str, labels: dict[str, int]) -> Iterator[str]:
    """One table, or several where it is too wide or too long for a page. note: of the whole report."""
    deviates = f"Deviates from the benchmark: {table.deviations}" if table.deviations else ""
    said = sentences((table.about, deviates, note or table.note, table.caption))
    layout, first = layout_of(table), ""
    for part in table.parts(layout.pairs, _lines_of(layout, said), _letters_of(layout)):
        label = label_of(f"{table.about} {table.deviations}", labels)
        caption = continued(table.about, first) if first else breakable(said)
        first = first or label
        yield floating(caption, label, _tabular(part, layout), layout.size, layout.room, SEPARATION)


def layout_of(table: PaperTable) -> Layout:
    """The first that holds all pairs; else as many beside each other as a page holds."""
    pairs = len(table.pairs)
    for room in (COLUMN_WIDTH, PAGE_WIDTH):
        for size in (Size.NORMAL, Size.FOOTNOTE):
            left = room - _numbers_width(table, pairs, size)
            if left >= _least_names(table, size, room):
                return Layout(size, room, pairs, left)
    size, room = Size.FOOTNOTE, PAGE_WIDTH
    for most in range(pairs, 0, -1):
        left = room - max(_numbers_width(part, most, size) for part in table.parts(most))
        if left >= _least_names(table, size, room) or most == 1:
            break
    return Layout(size, room, most, left)


def _lines_of(layout: Layout, caption: str) -> int:
    """Of methods, that a page holds under the caption."""
    left = PAGE_HEIGHT - HEAD_LINES * layout.size.line - height_of([caption], Size.NORMAL, layout.room)
    return max(LEAST_LINES, min(MOST_LINES, int(left / layout.size.line)))


def _letters_of(layout: Layout) -> int:
    """Of a name on one line."""
    return max(1, int(layout.names / text_width("n", layout.size) / SLACK))


def _least_names(table: PaperTable, size: Size, room: float) -> float:
    names = [row.name for row in table.rows]
    short = [name for name in names if _is_short(name)]
    least = max(text_width(name, size) for name in (*short, "Teacher"))
    return least if len(short) == len(names) else max(least, SHARE_OF_NAMES * room)


def _numbers_width(table: PaperTable, pairs: int, size: Size) -> float:
    """Of all columns but the names, in points, at most."""
    numbers = _scores_width(table, size)
    headers = [_stacked(name, numbers, size) for pair in table.pairs for name in pair]
    column = max([numbers, *(text_width(text, size) for header in headers for text in header)])
    gains = max(_gain_width(table, size), numbers) + 2 * SEPARATION if table.gains else 0.0
    return pairs * (column + 2 * SEPARATION) + gains


def _scores_width(table: PaperTable, size: Size) -> float:
    return max((_score_width(score, size) for row in table.rows for score in row.scores), default=0.0)


def _score_width(score: Score, size: Size) -> float:
    mean, spread = (f"{number:.2f}" for number in (score.mean, score.sd))
    mark = f"({score.seeds})" if score.seeds else "+" if score.tied else ""
    return (BOLD if score.best else 1) * text_width(mean, size) + THIN + text_width(f"±{spread}{mark}", size.smaller)


def _gain_width(table: PaperTable, size: Size) -> float:
    gains = (f"{row.gain:+.2f}" for row in table.rows)
    numbers = max(text_width(text, size) for text in gains) + text_width("±00.00", size.smaller) + THIN
    return max([numbers, *(text_width(word, size) for word in table.gains.split())])


# -- the table --------------------------------------------------------------------------------------------------------


def _tabular(table: PaperTable, layout: Layout) -> Iterator[str]:
    pairs, gains = len(table.pairs), 1 if table.gains else 0
    size, room = layout.size, _scores_width(table, layout.size)
    blank = [_across([""])] * gains
    over = [_across(stacked(table.gains.split(), _gain_width(table, size), size))] * gains
    yield rf"\begin{{tabular}}{{@{{}}l{NUMBER * (pairs + gains)}@{{}}}}"
    yield r"\toprule"
    yield line(["Teacher", *(_across(_stacked(teacher, room, size)) for teacher, _ in table.pairs), *over])
    yield line(["", *(_across(["" if math.isnan(t) else f"{t:.2f}"]) for t in table.teachers), *blank])
    yield line(["Student", *(_across(_stacked(student, room, size)) for _, student in table.pairs), *blank])
    if table.student is not None:
        yield _row(table.student, "", table.gains, size)
    for label, rows in table.groups:
        yield r"\midrule"
        if label:
            yield rf"\multicolumn{{{1 + 2 * (pairs + gains)}}}{{@{{}}l}}{{\textit{{{escape(label)}}}}} \\"
        for row in rows:
            yield _row(row, _name(row.name, layout), table.gains, size)
    yield r"\bottomrule"
    yield r"\end{tabular}"


def _stacked(name: str, room: float, size: Size) -> tuple[str, ...]:
    """A network's name on as many lines as it needs."""
    return stacked(_AFTER_SIGNS.split(name), room, size, between="")


def _across(lines: Sequence[str]) -> str:
    return rf"\multicolumn{{2}}{{c}}{{{stack(map(escape, lines), 'c')}}}"


def _row(row: PaperRow, name: str, gains: str, size: Size) -> str:
    """name: as LaTeX."""
    cells = [name, *(cell for score in row.scores for cell in _score(score, size))]
    if gains:
        known, half = not math.isnan(row.gain), not math.isnan(row.half)
        cells += [_signed(row.gain) if known else "", _spread(f"{row.half:.2f}", size) if half else ""]
    return line(cells)


def _score(score: Score, size: Size) -> tuple[str, str]:
    """Mean, and what stands right of it."""
    if math.isnan(score.mean):
        return "", ""
    mean = f"{score.mean:.2f}"
    spread = "" if math.isnan(score.sd) else _spread(f"{score.sd:.2f}", size)
    mark = r"$^{\dagger}$" if score.tied else rf"\,({score.seeds})" if score.seeds else ""
    return rf"\textbf{{{mean}}}" if score.best else mean, f"{spread}{mark}"


def _spread(number: str, size: Size) -> str:
    return rf"{{{size.smaller.command}$\pm$\,{number}}}"


def _signed(number: float) -> str:
    return f"${number:+.2f}$"


def _name(name: str, layout: Layout) -> str:
    """Long ones may be broken, after each of their parameters."""
    return escape(name) if _is_short(name) else paragraph(breakable(name), layout.names / layout.room)


def _is_short(name: str) -> bool:
    return text_width(name, Size.NORMAL) <= LONGEST_NAME
