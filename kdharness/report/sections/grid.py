"""Tables as aligned text, for whatever draws them, and how numbers are written in them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
from rich.cells import cell_len

from kdharness.stats.paired import Verdict
from kdharness.text import printable

NAME_WIDTH = 12
LEAST_CUT = 46  # letters that are left of a sentence
# What goes first where there is little room: memory, time, letters of ties, the rank (its interval stays), gains over
# all references but the last, the verdict.
MEMORY, COST, TIES, RANK, GAIN, VERDICT = range(1, 7)


@dataclass(frozen=True)
class Column:
    """A column of a grid.

    header: above it.
    values: one text per row.
    name: whether it holds names, which may fold.
    words: whether it is left-aligned, as names are.
    cut: whether it holds sentences, of which narrow places show the beginning and the end.
    dropped: the order in which narrow places do without the column; 0 for never.
    """

    header: str
    values: tuple[str, ...]
    name: bool = False
    words: bool = False
    dropped: int = 0
    cut: bool = False

    @property
    def width(self) -> int:
        """In cells of a terminal, of which letters of some scripts take two."""
        return max(map(cell_len, (self.header, *self.values)))


@dataclass(frozen=True)
class Grid:
    """A table as text.

    groups: (first row, label) where a regime of its own begins.
    best: the rows of those that are first.
    """

    columns: tuple[Column, ...]
    groups: tuple[tuple[int, str], ...] = ()
    best: tuple[int, ...] = ()

    def fit(self, width: int, gap: int = 2) -> Grid:
        """Without the columns for which this width has no room. Names fold before ranks, gains or verdicts go."""
        columns = list(self.columns)
        for column in sorted((c for c in self.columns if c.dropped), key=lambda c: c.dropped):
            folded = NAME_WIDTH if column.dropped > TIES else width
            widths = (LEAST_CUT if c.cut else min(folded, c.width) if c.name else c.width for c in columns)
            needed = sum(widths) + gap * (len(columns) - 1)
            if needed > width:
                columns.remove(column)
        return replace(self, columns=tuple(columns))

    def printable(self) -> Grid:
        """With nothing in its texts that a terminal or a page would take as control."""
        columns = (replace(c, header=printable(c.header), values=tuple(map(printable, c.values))) for c in self.columns)
        groups = tuple((row, printable(label)) for row, label in self.groups)
        return replace(self, columns=tuple(columns), groups=groups)

    @property
    def rows(self) -> list[tuple[str, ...]]:
        return list(zip(*(column.values for column in self.columns), strict=True))


def with_error(values: Iterable[float], errors: Iterable[float], sign: str = "", decimals: int = 2) -> tuple[str, ...]:
    """'+2.96 ±0.14' for each value; blank where there is no value, and no ± where there is no error."""
    pairs = list(zip(values, errors, strict=True))
    left = ["" if pd.isna(value) else f"{value:{sign}.{decimals}f}" for value, _ in pairs]
    right = ["" if pd.isna(value) or pd.isna(error) else f"±{error:.{decimals}f}" for value, error in pairs]
    width = max((len(text) for text in right), default=0)
    # The errors are filled up to one width, so that the points of both numbers stand below each other.
    return tuple(f"{a} {b:>{width}}" if width and a else a for a, b in zip(left, right, strict=True))


def half_width(low: pd.Series[float], high: pd.Series[float]) -> pd.Series[float]:
    """Half the width of intervals, which tables show after ±."""
    return (high - low) / 2


def p_text(p: float) -> str:
    """'0.062', '<0.001', or nothing."""
    return "" if math.isnan(p) else "<0.001" if p < 0.001 else f"{p:.3f}"


def count_text(number: float) -> str:
    """'560 M'."""
    if math.isnan(number):
        return ""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:.0f}"


def undecided_text(answer: str, more_seeds: object) -> str:
    """'undecided (about 4 more seeds)'; other answers as they are."""
    if answer != Verdict.UNDECIDED:
        return answer
    if more_seeds is pd.NA or more_seeds is None:
        return "undecided (over 1000 more seeds)"
    return f"undecided (about {more_seeds} more seed{'' if more_seeds == 1 else 's'})"


def regime_groups(rows: Sequence[Mapping[str, Any]]) -> tuple[tuple[int, str], ...]:
    """Where a regime begins, and its label; the usual one has none."""
    regimes = [str(row["regime"]) for row in rows]
    starts = [i for i, regime in enumerate(regimes) if i == 0 or regime != regimes[i - 1]]
    return tuple((i, regimes[i].replace("_", " ")) for i in starts if regimes[i])
