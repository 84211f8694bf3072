"""Which columns of a table stand beside each other on a page, which rows below each other, and how wide they are."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from kdharness.report.sections.grid import Column, Grid
from kdharness.report.tex.widths import PAGE_WIDTH, Size, stacked, text_width

SEPARATION = 3.0  # left and right of each column, in points
LEAST = 62.0  # of a column of long texts, in points
SLACK = 1.15  # lines of a paragraph are not full
SIZE = Size.SCRIPT
NARROWING = 10.0


@dataclass(frozen=True)
class Measured:
    """A column. header: its lines. natural: its width in points; least: where all is broken that may be."""

    column: Column
    header: tuple[str, ...]
    natural: float
    least: float

    @property
    def is_text(self) -> bool:
        return self.column.name or self.column.words


@dataclass(frozen=True)
class Placed:
    """A column in a part. width: of its paragraphs in points, NaN where nothing is broken."""

    measured: Measured
    width: float

    @property
    def share(self) -> float:
        """Of a line."""
        return self.width / PAGE_WIDTH

    def lines_of(self, text: str) -> int:
        if math.isnan(self.width):
            return 1
        return max(1, math.ceil(SLACK * text_width(text, SIZE) / self.width))


@dataclass(frozen=True)
class Part:
    """Columns beside each other."""

    columns: tuple[Placed, ...]

    @property
    def width(self) -> float:
        widths = (c.measured.natural if math.isnan(c.width) else c.width for c in self.columns)
        return sum(widths) + 2 * SEPARATION * (len(self.columns) - 1)


def parts_across(grid: Grid) -> tuple[Part, ...]:
    """As few as fit the page, about equally wide; the columns that tell rows apart stand in each of them."""
    keys = keys_of(grid)
    columns = [_measured(column) for column in grid.columns]
    room = PAGE_WIDTH
    found = _chunks(columns, keys, room)
    while len(found) > 1:
        narrower = _chunks(columns, keys, room - NARROWING)
        if len(narrower) > len(found) or max(map(_least, narrower)) > room - NARROWING:
            break
        found, room = narrower, room - NARROWING
    return tuple(_placed(chunk) for chunk in found)


def keys_of(grid: Grid) -> tuple[int, ...]:
    """The first columns of names that together differ in every row; a blank is the name above it."""
    groups = dict(grid.groups)
    group = 0
    seen: list[tuple[str | int, ...]] = []
    for i in range(len(grid.rows)):
        group += i in groups
        seen.append((group,))
    keys: list[int] = []
    for place, column in enumerate(grid.columns):
        if column.name and not column.cut:
            keys.append(place)
            seen = [(*before, name) for before, name in zip(seen, _filled(column.values), strict=True)]
            if len(set(seen)) == len(seen):
                break
    return tuple(keys)


def _filled(values: Sequence[str]) -> Iterator[str]:
    last = ""
    for value in values:
        last = value or last
        yield last


def _measured(column: Column) -> Measured:
    widest = max((text_width(value, SIZE) for value in column.values), default=0.0)
    header = stacked(column.header.split() or [""], widest, SIZE)
    natural = max([widest, *(text_width(each, SIZE) for each in header)])
    is_text = column.name or column.words
    return Measured(column, header, natural, min(natural, LEAST) if is_text else natural)


def _chunks(columns: Sequence[Measured], keys: Sequence[int], room: float) -> list[list[Measured]]:
    """Columns in their order, the keys first wherever a table goes on; each of it alone where it does not fit."""
    chunks: list[list[Measured]] = [[]]
    for place, column in enumerate(columns):
        own = [columns[key] for key in keys if key <= place or len(chunks) > 1]
        here = [*chunks[-1], column]
        if chunks[-1] and _least(here) > room and any(each not in own for each in chunks[-1]):
            chunks.append([*(each for each in own if each is not column)])
            here = [*chunks[-1], column]
        chunks[-1] = here
    return chunks


def _least(columns: Sequence[Measured]) -> float:
    return sum(column.least for column in columns) + 2 * SEPARATION * (len(columns) - 1)


def _placed(columns: Sequence[Measured]) -> Part:
    """What is left of the page is for the columns that are broken: those that want least get all of it."""
    left, widths = max(0.0, PAGE_WIDTH - _least(columns)), [math.nan] * len(columns)
    wanting = sorted((c.natural - c.least, place) for place, c in enumerate(columns) if c.natural > c.least)
    for number, (wanted, place) in enumerate(wanting):
        given = min(wanted, left / (len(wanting) - number))
        left -= given
        widths[place] = math.nan if given == wanted else columns[place].least + given
    return Part(tuple(Placed(column, width) for column, width in zip(columns, widths, strict=True)))


def rows_down(grid: Grid, most: float, height: Callable[[int], float]) -> Iterator[range]:
    """Rows that stand below each other, so many points high at most; what belongs to the row above stays with it.

    height: of a row, in points.
    """
    start = 0
    for end in _ends(grid, most, height):
        yield range(start, end)
        start = end


def _ends(grid: Grid, most: float, height: Callable[[int], float]) -> Iterator[int]:
    heads = [i for i in range(len(grid.rows)) if _is_head(grid, i)]
    used = 0.0
    for first, after in pairwise([*heads, len(grid.rows)]):
        needed = sum(map(height, range(first, after)))
        if first and used + needed > most:
            yield first
            used = 0.0
        used += needed
    yield len(grid.rows)


def _is_head(grid: Grid, row: int) -> bool:
    """Whether it has a name of its own, or there are no names."""
    names = [column for column in grid.columns if column.name]
    return row == 0 or not names or bool(names[0].values[row])
