"""A cell's curves: history.csv with one number per line."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from kdharness.results.files import write_atomic


class HistoryRow(NamedTuple):
    """One number after an epoch, counted from 1. predictor: '' for what is none's, as a loss term."""

    epoch: int
    split: str
    predictor: str
    metric: str
    value: float


HISTORY_COLUMNS = HistoryRow._fields


def write_history(path: Path, rows: Iterable[tuple[int, str, str, str, float]]) -> None:
    """All rows of a cell in place of what was there, atomically. UserError when it cannot be written."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([HISTORY_COLUMNS, *rows])
    write_atomic(path, text.getvalue())


def read_history(path: Path) -> list[HistoryRow]:
    """() where there is none."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [
            HistoryRow(int(epoch), split, predictor, metric, float(value))
            for epoch, split, predictor, metric, value in list(csv.reader(file))[1:]
        ]
