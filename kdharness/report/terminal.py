"""Reports for a terminal, a pipe or a text file: the result first, and how it was measured dimly below."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from io import StringIO

from rich.cells import cell_len, set_cell_size
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from kdharness.report.document import in_short, left_out, nothing, problem_words, sections
from kdharness.report.sections.answers import told
from kdharness.report.sections.folding import folded
from kdharness.report.sections.grid import LEAST_CUT, Column, Grid
from kdharness.report.sections.parts import parts_sections
from kdharness.report.sections.section import Section, SectionKind
from kdharness.report.view import Report
from kdharness.text import put

STYLES = {
    "better": "green", "worse": "red", "undecided": "dim", "equal": "cyan", "holds": "green", "does not hold": "red",
    "reproduced": "green", "above": "cyan", "below": "red", "not comparable": "dim",
    "helps": "green", "hurts": "red", "makes no difference": "cyan", "not measured": "dim",
}  # fmt: skip
STATUS_STYLES = {
    "failed": "red",
    "oom": "red",
    "timeout": "red",
    "unreadable": "red",
    "interrupted": "yellow",
    "not_run": "yellow",
}
GAP = 2
ALL_TABLES, ALL_CLAIMS = "their tables", "what each claim rests on"


def show(report: Report, console: Console, whole: bool = True) -> None:
    """Prints a report; to what is no terminal, without blanks at the ends of lines."""
    if not console.is_terminal:
        console.file.write(as_text([report], console.width, whole))
        return
    for part in render(report, console.width, whole):
        console.print(part)


def as_text(reports: Iterable[Report], width: int = 100, whole: bool = True) -> str:
    """Reports as text without colour, for a file."""
    file = StringIO()
    console = Console(file=file, width=width, color_system=None, legacy_windows=False)
    for report in reports:
        for part in render(report, width, whole):
            console.print(part)
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()) + "\n"


def render(report: Report, width: int, whole: bool = True) -> Iterator[RenderableType]:
    """The report's parts in order, each followed by an empty line."""
    if report.progress:
        yield _below(Text(f"running: {report.progress}", style="cyan"))
    if report.is_empty:
        yield _below(Text(nothing(report), style="bold"))
    elif report.note:
        yield Text(report.note, style="yellow")
    for section in sections(report, whole):
        yield _below(section_part(section, width))
    if not whole and (lines := _in_short(report)):
        yield _below(Group(*lines))
    ending = [*_problem_lines(report), *_closing_lines(report)]
    if ending:
        yield _below(Group(*ending))


def _in_short(report: Report) -> list[Text]:
    """What is left out, each in a line, and how to see it."""
    lines = [Text.assemble((what, "bold"), ":", says) for what, _, says in (x.partition(":") for x in in_short(report))]
    more = [ALL_TABLES] * bool(lines) + [ALL_CLAIMS] * bool(len(report.claims))
    return [*lines, Text(f"kdharness report DIR --all prints {' and '.join(more)}", style="dim")] if more else []


def show_parts(report: Report, method: str, console: Console) -> None:
    """Prints what the parts of a method do, and what went wrong."""
    effects = report.effects[report.effects["method"] == method]
    if effects.empty:
        put(console, _below(Text(nothing(report), style="bold")))
    for section in parts_sections(effects):
        put(console, _below(section_part(section, console.width)))
    put(console, *_problem_lines(report), *_closing_lines(report))


def section_part(section: Section, width: int) -> RenderableType:
    """Title, banner of a deviating run, table, remarks, and dimly how it came about."""
    parts: list[RenderableType] = [Text(section.title, style="bold")]
    if section.banner:
        parts.append(Text(section.banner, style="bold yellow"))
    if section.grid.rows:
        parts += claim_lines(section.grid) if section.kind is SectionKind.CLAIMS else [grid_table(section.grid, width)]
    parts += [Text(line) for line in section.remarks]
    parts += [Text(line, style="dim") for line in section.how]
    return Group(*parts)


def claim_lines(grid: Grid) -> list[RenderableType]:
    """Each claim as a sentence with its numbers under it."""
    lines: list[RenderableType] = []
    for answer, claim, numbers in told(grid):
        lines.append(Text.assemble((answer, _style(answer) or "bold"), ": ", claim))
        lines.append(Padding(Text(numbers, style="dim"), (0, 0, 0, 4)))
    return lines


def grid_table(grid: Grid, width: int) -> RenderableType:
    """Aligned columns; the labels of groups stand on lines of their own, as long as they like."""
    fitted = grid.fit(width, GAP)
    shown = replace(fitted, columns=_cut(fitted.columns, width))
    widths = _widths(shown.columns, width)
    starts = [start for start, _ in shown.groups]
    bounds = [*starts, len(shown.rows)]
    parts: list[RenderableType] = [_table(shown, range(bounds[0]), widths)]
    for (start, label), end in zip(shown.groups, bounds[1:], strict=True):
        parts.append(Text(label, style="italic"))
        parts.append(_table(shown, range(start, end), widths, header=False))
    return Group(*parts)


def _widths(columns: Sequence[Column], width: int) -> list[int]:
    """Names share what the others leave: those that want least get all of it."""
    widths = [column.width for column in columns]
    left = width - GAP * (len(columns) - 1) - sum(c.width for c in columns if not c.name)
    names = sorted((column.width, place) for place, column in enumerate(columns) if column.name)
    for number, (wanted, place) in enumerate(names):
        widths[place] = max(1, min(wanted, left // (len(names) - number)))
        left -= widths[place]
    return widths


def _cut(columns: Sequence[Column], width: int) -> tuple[Column, ...]:
    """With columns of long sentences so narrow that the others have room."""
    others = sum(column.width for column in columns if not column.cut) + GAP * len(columns)
    room = max(LEAST_CUT, width - others)
    return tuple(replace(c, values=tuple(shortened(v, room) for v in c.values)) if c.cut else c for c in columns)


def shortened(text: str, width: int) -> str:
    """A long text without its middle: sentences that begin alike differ at their end."""
    if cell_len(text) <= width:
        return text
    end = (width - 1) // 3
    first, last = set_cell_size(text, width - 1 - end), set_cell_size(text[::-1], end)[::-1]
    return f"{first.rstrip()}…{last.lstrip()}"


def _table(grid: Grid, rows: Iterable[int], widths: Sequence[int], header: bool = True) -> Table:
    columns, cells = grid.columns, grid.rows
    table = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False, header_style="bold", show_header=header)
    for column, width in zip(columns, widths, strict=True):
        table.add_column(
            column.header,
            justify="left" if column.name or column.words else "right",
            no_wrap=not column.name,
            overflow="fold",
            width=width,
        )
    for row in rows:
        texts = (
            Text(folded(cell, width) if column.name else cell, style=_style(cell))
            for cell, column, width in zip(cells[row], columns, widths, strict=True)
        )
        table.add_row(*texts, style="bold" if row in grid.best else "")
    return table


def _style(cell: str) -> str:
    return STYLES.get(cell.partition(" (")[0], "")


def _problem_lines(report: Report) -> Iterator[Text]:
    for problem in report.problems:
        line = Text()
        line.append(problem.status.replace("_", " "), style=STATUS_STYLES.get(problem.status, "dim"))
        line.append(f" {problem.count}: {problem_words(problem)}")
        if problem.reason:
            line.append(f"\n  {problem.reason}", style="dim")
        if trace := report.traces.get(problem.cell):
            line.append(f"\n  {trace}", style="dim")
        yield line


def _closing_lines(report: Report) -> Iterator[Text]:
    for doubt in report.doubts:
        yield Text(doubt, style="yellow")
    for line in left_out(report):
        yield Text(line, style="dim")
    if report.files:
        names = ", ".join(path.name for path in report.files)
        yield Text(f"tables in {report.files[0].parent}: {names}", style="dim")


def _below(part: RenderableType) -> Padding:
    return Padding(part, (0, 0, 1, 0))
