"""A cell's curves: history.csv with one number per line."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path

from kdharness.failures import one_line
from kdharness.plain_files import open_plain
from kdharness.results.files import write_atomic
from kdharness.results.formulas import guard, unguarded

# Epoch (counted from 1), split, predictor ("" where a number is no predictor's, as a loss term's), metric, value.
HistoryRow = tuple[int, str, str, str, float]

HISTORY_COLUMNS = ("epoch", "split", "predictor", "metric", "value")


def write_history(path: Path, rows: Iterable[HistoryRow]) -> None:
    """All rows of a cell in place of what was there, atomically. UserError when it cannot be written."""
    text = io.StringIO()
    lines = ((epoch, *(guard(name) for name in names), value) for epoch, *names, value in rows)
    csv.writer(text, lineterminator="\n").writerows([HISTORY_COLUMNS, *lines])
    write_atomic(path, text.getvalue())


def read_history(path: Path) -> list[HistoryRow]:
    """The rows of a cell's curves; none where there is no file, or one that cannot be used."""
    try:
        return history_rows(path)
    except ValueError:
        return []


def history_rows(path: Path) -> list[HistoryRow]:
    """The rows of a cell's curves; none where there is no file. ValueError for one that cannot be used, in one line."""
    try:
        with open_plain(path) as file:
            lines = csv.reader(io.TextIOWrapper(file, encoding="utf-8", newline=""))
            if tuple(next(lines, ())) != HISTORY_COLUMNS:
                raise ValueError(f"its columns are not {', '.join(HISTORY_COLUMNS)}")
            return [
                (int(epoch), unguarded(split), unguarded(predictor), unguarded(metric), float(value))
                for epoch, split, predictor, metric, value in lines
            ]
    except FileNotFoundError:
        return []
    except (OSError, csv.Error) as error:
        raise ValueError(one_line(error)) from error
