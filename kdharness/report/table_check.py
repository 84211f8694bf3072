"""The tables of a results folder, held against those that its records give."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd

from kdharness.report.leaderboard import tables_of
from kdharness.results.checks.finding import Finding, Kind, shown
from kdharness.results.contents import Contents
from kdharness.results.formulas import unguarded
from kdharness.results.table import METRICS_COLUMNS, csv_text
from kdharness.stats.board_schema import SCHEMA_COLUMN
from kdharness.stats.settings import COMPETITOR, SETTING

# By table, the columns that name a row. Of a leaderboard's rank a row is not known by.
ROWS: Mapping[str, Sequence[str]] = {
    "results.csv": ("cell", "track"),
    "metrics.csv": METRICS_COLUMNS[:4],
    "leaderboard.csv": (*SETTING, "regime", *COMPETITOR),
    "claims.csv": (*SETTING, "deviations", "claim", "better", "than", "predictor", "metric"),
    "ablation.csv": (*SETTING, "deviations", "method", "part"),
}
# Tables of what is computed, whose last digits are the libraries' and the machine's.
COMPUTED = ("leaderboard.csv", "claims.csv", "ablation.csv", "audit.csv")
RELATIVE = 1e-6
OF_PLUGINS = "x_"
# Of these tables what every release counts alike; corrections, and what follows from them, may be others in another.
COUNTED = re.compile(
    r"n|seeds|rank|top1_(mean|sd|ci_low|ci_high)|planned|ok|failed|complete|teacher_top1|gap_share|difference|sd"
    r"|gain_over_.+(?<!_holm)(?<!_comparisons)(?<!_verdict)(?<!_seeds_needed)"
)
MOST_BYTES = 2**30

# The values of a row by column, and which one it is of those that are called alike.
Rows = dict[tuple[str, ...], dict[str, str]]


def findings_of_tables(contents: Contents) -> Iterator[Finding]:
    """Rows that are edited, missing or foreign. Nothing of a table that is not there: it is made of the records."""
    if contents.newest is None:
        return
    for name, frame in tables_of(contents).items():
        path = contents.path / name
        if path == contents.tables.audit and not contents.audits:
            if path.is_file():
                what = "it cannot be made anew: what it counts is under private/, which is not here"
                yield Finding(Kind.DOUBT, path.name, what)
        elif path.is_file():
            yield from _of_table(path, frame)


def _of_table(path: Path, frame: pd.DataFrame) -> Iterator[Finding]:
    try:
        lines = _lines(path.read_text(encoding="utf-8")) if path.stat().st_size <= MOST_BYTES else None
    except (OSError, ValueError, csv.Error):
        lines = None
    if not lines:
        yield Finding(Kind.DAMAGED, path.name, "it is no table that can be read")
        return
    made = _lines(csv_text(frame))
    yield from _of_columns(path.name, lines[0], made[0])
    both = [name for name in made[0] if name in lines[0]]
    names = [name for name in ROWS.get(path.name, ()) if name in both] or both
    there, expected = _rows(lines, names), _rows(made, names)
    compared = [name for name in both if name != SCHEMA_COLUMN]
    if path.name in COMPUTED and _is_of_another_release(lines, made):
        what = "another release wrote it, or it lost columns: its corrected tests and verdicts are not held to these"
        yield Finding(Kind.DOUBT, path.name, what)
        compared = [name for name in compared if COUNTED.fullmatch(name)]
    for row, values in expected.items():
        if row not in there:
            yield Finding(Kind.MISSING, path.name, f"it lacks the row {_name(row)}, which the records give")
        elif wrong := [name for name in compared if not _alike(path.name, there[row][name], values[name])]:
            yield Finding(Kind.EDITED, path.name, f"row {_name(row)}: {_difference(there[row], values, wrong)}")
    for row in there:
        if row not in expected:
            yield Finding(Kind.FOREIGN, path.name, f"no record gives its row {_name(row)}")


def _is_of_another_release(lines: Sequence[Sequence[str]], made: Sequence[Sequence[str]]) -> bool:
    """By its columns, or by the version that it states."""
    if not {*made[0]} <= {*lines[0]}:
        return True
    return _schemas(lines) != _schemas(made)


def _schemas(lines: Sequence[Sequence[str]]) -> set[str]:
    at = lines[0].index(SCHEMA_COLUMN) if SCHEMA_COLUMN in lines[0] else None
    return set() if at is None else {line[at] for line in lines[1:] if len(line) > at}


def _of_columns(table: str, there: Sequence[str], made: Sequence[str]) -> Iterator[Finding]:
    """A table of another release lacks what came later, which says nothing against it."""
    if lacking := [name for name in made if name not in there]:
        yield Finding(Kind.DOUBT, table, f"it lacks columns that this release writes: {', '.join(lacking)}")
    strange = [name for name in there if name not in made]
    if plugins := [name for name in strange if name.startswith(OF_PLUGINS)]:
        yield Finding(Kind.DOUBT, table, f"nothing here says what columns of plugins hold: {', '.join(plugins)}")
    if foreign := [name for name in strange if name not in plugins]:
        yield Finding(Kind.FOREIGN, table, f"it has columns that the records do not give: {', '.join(foreign)}")
    if len({*there}) < len(there):
        yield Finding(Kind.EDITED, table, "two of its columns have one name")


def _lines(text: str) -> list[list[str]]:
    return [[unguarded(value) for value in line] for line in csv.reader(io.StringIO(text)) if line]


def _rows(lines: Sequence[Sequence[str]], names: Sequence[str]) -> Rows:
    """A row that is called as one before it is a row of its own."""
    header, found = lines[0], Rows()
    for line in lines[1:]:
        values = dict(zip(header, [*line, *[""] * len(header)], strict=False))
        row = tuple(values[name] for name in names)
        while row in found:
            row = (*row, "again")
        found[row] = values
    return found


def _alike(table: str, there: str, expected: str) -> bool:
    if there == expected:
        return True
    try:
        one, other = float(there), float(expected)
    except ValueError:
        return False
    return one == other or (table in COMPUTED and math.isclose(one, other, rel_tol=RELATIVE, abs_tol=RELATIVE))


def _difference(there: Mapping[str, str], expected: Mapping[str, str], wrong: Sequence[str]) -> str:
    first, *others = wrong
    rest = f"; so do others not fit: {', '.join(others)}" if others else ""
    return f"{first} is {shown(there[first])}, the records give {shown(expected[first])}{rest}"


def _name(row: Sequence[str]) -> str:
    return shown(" ".join(filter(None, row)), most=200)
