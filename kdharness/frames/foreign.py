"""Tables that stand beside a results.csv without plans and records: somebody else's, or those of the repository."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from kdharness.frames.cell_columns import METRICS
from kdharness.frames.column import FLAG, INTEGER, TEXT, Column, as_dtype
from kdharness.frames.ranking_columns import of_claims
from kdharness.results.contents import Contents
from kdharness.results.foreign_table import ForeignTable, read_foreign
from kdharness.results.numerals import meant_by, number_of

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
    table = read_foreign(path)
    table.check_columns(names, f"{path.name} of this release")
    return pd.DataFrame({column.name: _values(table, column) for column in columns})


def _values(table: ForeignTable, column: Column) -> pd.Series[Any]:
    """UserError for the first that is not of its dtype."""
    texts = [row[column.name] for row in table.rows]
    if column.dtype == TEXT:
        return pd.Series(texts, dtype="object")
    if column.dtype == FLAG:
        flags = [TRUTHS.get(text) for text in texts]
        _refuse(table, column, [flag is None for flag in flags], f"neither {' nor '.join(TRUTHS)}")
        return pd.Series(flags, dtype="bool")
    numbers = [number_of(text) for text in texts]
    _refuse(table, column, [bool(text) and n is None for text, n in zip(texts, numbers, strict=True)], "no number")
    if column.dtype == INTEGER:
        _refuse(table, column, [n is not None and not n.is_integer() for n in numbers], "no whole number")
    return as_dtype(pd.Series(numbers, dtype="float64"), column.dtype)


def _refuse(table: ForeignTable, column: Column, wrong: Sequence[bool], what: str) -> None:
    """UserError for the first row that is wrong."""
    if any(wrong):
        at = wrong.index(True)
        text = table.rows[at][column.name]
        raise table.fault(at, f"{column.name} '{text:.40}' is {what}{meant_by(text)}", more=sum(wrong) - 1)
