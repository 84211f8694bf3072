"""The rows of somebody's results.csv, which stands for plans and records where there are none."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from kdharness.planning.cell import SPREAD, STUDENT, UNKNOWN
from kdharness.protocol.track import DEFAULT_TRACK
from kdharness.results.foreign_table import ForeignTable, read_foreign
from kdharness.results.record import COLUMNS
from kdharness.results.row_faults import faults_of_row, text_of
from kdharness.results.rows import Row

OF_A_LEADERBOARD = "top1_mean"
# A stranger's file may be wrong in each of its lines.
MOST_FAULTS = 100


def read_rows(path: Path) -> tuple[Row, ...]:
    """All values as text, whatever they say. UserError for what is no table of results, lacks a column, or has a cell
    twice.
    """
    return _read(path).rows


def sound_rows(path: Path) -> tuple[Row, ...]:
    """Likewise of a table each row of which can be; UserError for the first that cannot."""
    table = _read(path)
    faults = list(islice(_faults(table), MOST_FAULTS + 1))
    if faults:
        raise table.fault(*faults[0], more=len(faults) - 1)
    return table.rows


def _read(path: Path) -> ForeignTable:
    table = read_foreign(path)
    if OF_A_LEADERBOARD in table.columns:
        raise table.fault(None, "it is a leaderboard; name the results.csv beside it, which has a row for each cell")
    columns, rows = table.columns, table.rows
    if "track" not in columns and "role" in columns:  # written when there was one track
        rows = tuple({**row, "track": DEFAULT_TRACK if row["role"] in (STUDENT, SPREAD) else ""} for row in rows)
        columns = (*columns, "track")
    if "seen_data" not in columns:  # written before it was said
        rows = tuple({**row, "seen_data": UNKNOWN} for row in rows)
        columns = (*columns, "seen_data")
    whole = ForeignTable(path, columns, rows, table.places)
    whole.check_columns(COLUMNS, "results table of this release")
    _check_once(whole)
    return whole


def _faults(table: ForeignTable) -> Iterator[tuple[int, str]]:
    """By the row's position."""
    for at, row in enumerate(table.rows):
        yield from ((at, fault) for fault in faults_of_row(row))


def _check_once(table: ForeignTable) -> None:
    """UserError for a header between the rows, and for a cell that is in two of them."""
    seen: dict[tuple[str, str], int] = {}
    for at, row in enumerate(table.rows):
        cell = text_of(row, "cell"), text_of(row, "track")
        if cell[0] == "cell" and row["benchmark"] == "benchmark":
            raise table.fault(at, "it is the header once more; are these two tables in one file?")
        first = seen.setdefault(cell, at) if cell[0] else at
        if first != at:
            raise table.fault(at, f"its cell is in row {table.places[first]} already; a table has each cell once")
