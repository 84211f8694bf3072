"""A cell's curves: history.csv with one number per line."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from kdharness.results.files import append, write_atomic

if TYPE_CHECKING:
    import pandas as pd

HISTORY_COLUMNS = ("epoch", "split", "predictor", "metric", "value")


class History:
    """One history.csv, written while the cell trains."""

    Rows = Iterable[tuple[int, str, str, str, float]]

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, rows: Rows) -> None:
        """Adds (epoch, split, predictor, metric, value) rows; the first call writes the header."""
        text = _lines(rows)
        if text:
            self._mend()
            append(self.path, text if self.path.exists() else _lines([HISTORY_COLUMNS]) + text)

    def trim(self, epoch: int) -> None:
        """Drops what came after `epoch`, when a cell goes on from its checkpoint of it (0: from the start)."""
        if self.path.exists():
            frame = self.read()
            kept = frame[frame["epoch"] <= epoch]
            write_atomic(self.path, _lines([HISTORY_COLUMNS, *kept.itertuples(index=False, name=None)]))

    def read(self) -> pd.DataFrame:
        """The rows by column name. An unfinished last line is dropped; of rows written twice the last counts."""
        import pandas as pd  # here, for workers and `--help` do without it

        rows = [row for row in self._rows() if row is not None]
        frame = pd.DataFrame(rows, columns=list(HISTORY_COLUMNS))
        return frame.drop_duplicates(list(HISTORY_COLUMNS[:-1]), keep="last").reset_index(drop=True)

    def _mend(self) -> None:
        """Takes away a last line without its end, or the next row would be written on it."""
        if self.path.exists() and not (data := self.path.read_bytes()).endswith(b"\n"):
            write_atomic(self.path, data[: data.rfind(b"\n") + 1].decode("utf-8", errors="replace"))

    def _rows(self) -> Iterable[tuple[int, str, str, str, float] | None]:
        if not self.path.exists():
            return
        lines = self.path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
        for row in csv.reader(line for line in lines if line.endswith("\n")):
            yield _parsed(row)


def _parsed(row: list[str]) -> tuple[int, str, str, str, float] | None:
    try:
        epoch, split, predictor, metric, value = row
        return int(epoch), split, predictor, metric, float(value)
    except ValueError:  # the header, or a line that was cut and written on
        return None


def _lines(rows: Iterable[Iterable[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
