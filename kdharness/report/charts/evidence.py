"""What figures show beyond the table, read from the files of a setting's cells: curves and test predictions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import pandas as pd

from kdharness.results.contents import Contents
from kdharness.results.history import HistoryRow, read_history
from kdharness.results.paths import CellFiles
from kdharness.results.predictions import Predictions, read_predictions
from kdharness.stats.settings import COMPETITOR, as_dicts, competitor_of


class Evidence(Protocol):
    """Of one cell, by its key. What lies apart, for its owner alone, is not here."""

    def history(self, cell: str) -> Sequence[HistoryRow]: ...

    def predictions(self, cell: str) -> Predictions | None: ...


@dataclass(frozen=True)
class FolderEvidence:
    """From a results folder."""

    contents: Contents

    def history(self, cell: str) -> Sequence[HistoryRow]:
        files = self._open(cell)
        return read_history(files.history) if files is not None else ()

    def predictions(self, cell: str) -> Predictions | None:
        files = self._open(cell)
        return read_predictions(files.predictions) if files is not None else None

    def _open(self, cell: str) -> CellFiles | None:
        """None for a cell that saw private images: no report takes anything from its shelter."""
        files = self.contents.files_of(cell)
        return None if files.shelter.is_dir() else files


@dataclass(frozen=True)
class Competitor:
    """A competitor's cells that are ok, by seed."""

    name: str
    rows: pd.DataFrame

    @property
    def cells(self) -> list[str]:
        return [str(cell) for cell in self.rows["cell"]]

    def values(self, column: str) -> list[float]:
        """Those that were measured."""
        return [float(value) for value in self.rows[column].dropna()]

    def each(self, read: Callable[[str], Iterable[HistoryRow]]) -> list[Sequence[HistoryRow]]:
        return [list(read(cell)) for cell in self.cells]


def competitors(rows: pd.DataFrame, board: pd.DataFrame) -> list[Competitor]:
    """Those of a board, in its order; of each the rows of its setting that are ok."""
    groups: Mapping[object, pd.DataFrame] = dict(iter(rows[rows["status"] == "ok"].groupby(list(COMPETITOR))))
    found = []
    for row in as_dicts(board[list(COMPETITOR)]):
        own = groups.get((row["method"], row["variant"]))
        if own is not None:
            found.append(Competitor(competitor_of(row), own.sort_values("seed")))
    return found
