"""Tables that stand beside a results.csv without plans and records: somebody else's, or those of the repository."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from kdharness.errors import UserError
from kdharness.failures import one_line
from kdharness.frames.cell_columns import METRICS
from kdharness.frames.column import FLAG, TEXT, Column, as_dtype
from kdharness.frames.ranking_columns import of_claims
from kdharness.results.contents import Contents
from kdharness.results.formulas import unguarded

TRUTHS = {"True": True, "False": False}


def foreign_metrics(contents: Contents) -> pd.DataFrame:
    """What metrics.csv beside it holds; nothing where there is none. UserError for one that is none."""
    return _read(contents.tables.metrics, METRICS)


def foreign_claims(contents: Contents) -> pd.DataFrame:
    """What claims.csv beside it holds; nothing where there is none. UserError for one that is none."""
    return _read(contents.tables.claims, of_claims())


def _read(path: Path, columns: Sequence[Column]) -> pd.DataFrame:
    names = [column.name for column in columns]
    if not path.is_file():
        return pd.DataFrame(columns=names)
    try:
        # Everything as text: a metric may be called 'nan' or 'null'.
        frame = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
        missing = [name for name in names if name not in frame]
        if missing:
            raise ValueError(f"it lacks the columns {', '.join(missing)}")
        return pd.DataFrame({column.name: _values(frame[column.name], column.dtype) for column in columns})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(f"cannot read {path}: {one_line(error)}") from error


def _values(text: pd.Series[str], dtype: str) -> pd.Series[Any]:
    """ValueError for what is not of the dtype; KeyError for what is no truth."""
    if dtype == TEXT:
        return pd.Series([unguarded(value) for value in text], dtype="object")
    if dtype == FLAG:
        return pd.Series([TRUTHS[value] for value in text], dtype="bool")
    return as_dtype(pd.to_numeric(text.where(text != "")), dtype)
