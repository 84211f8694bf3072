"""The curves of all cells as one frame."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pandas as pd

from kdharness.frames.cell_columns import HISTORY
from kdharness.results.contents import Contents
from kdharness.results.history import HistoryRow, history_rows


def history_of(folders: Iterable[Contents], warn: Callable[[str], None]) -> pd.DataFrame:
    """cell, epoch, split, predictor, metric, value: of each cell with a record that counts, as far as it came.

    What learned from private images keeps its curves elsewhere, and is left out. warn: called with a line for each file
    that cannot be used.
    """
    keys: list[str] = []
    rows: list[HistoryRow] = []
    for contents in folders:
        for key in contents.current:
            files = contents.files_of(key)
            if files.history.parent != files.folder:
                continue
            try:
                found = history_rows(files.history)
            except ValueError as error:
                warn(f"{files.history} is left out: {error}")
                continue
            rows += found
            keys += [key] * len(found)
    columns = list(zip(*rows, strict=True)) or [()] * 5
    named = dict(zip((column.name for column in HISTORY), (keys, *columns), strict=True))
    return pd.DataFrame({name: pd.Series(values, dtype=_DTYPES[name]) for name, values in named.items()})


_DTYPES = {column.name: column.dtype for column in HISTORY}
