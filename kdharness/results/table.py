"""The tidy table of a results folder, and the CSV file that it is kept in."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kdharness.errors import UserError
from kdharness.planning.plan import PlannedCell
from kdharness.results.files import write_atomic
from kdharness.results.formulas import guard
from kdharness.results.record import COLUMNS, ENDLESS_COLUMNS, FLOAT_COLUMNS, INTEGER_COLUMNS, Record
from kdharness.text import plain

METRICS_COLUMNS = ("cell", "predictor", "split", "metric", "value")
DOCUMENT_PARTS = ("dataset", "scenario", "recipe", "evaluation")
LARGEST = 2.0**63  # of a column of integers
ORDER = (
    "benchmark", "dataset", "scenario", "recipe", "deviations", "protocol", "student", "teacher", "role", "track",
    "method", "variant", "seed", "cell",
)  # fmt: skip


def frame_of(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Rows by column name as the typed, ordered table. What a row lacks is empty.

    Exactly COLUMNS, then the x_ columns by name. Numbers typed, text '' where empty.
    """
    values = _by_column(rows)
    extra = sorted(values.keys() - set(COLUMNS), key=plain)
    data = {name: _column(name, values.pop(name)) for name in (*COLUMNS, *extra)}
    frame = pd.DataFrame(data, columns=[*COLUMNS, *extra])
    return frame.sort_values(list(ORDER), kind="stable", ignore_index=True)


def _by_column(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """The values of each column, None where a row lacks it."""
    found: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    for place, row in enumerate(rows):
        for name in row.keys() - found.keys():
            found[name] = [None] * place
        for name, values in found.items():
            values.append(row.get(name))
    return found


def metrics_frame_of(records: Mapping[str, Record]) -> pd.DataFrame:
    """The long form: cell, predictor, split, metric, value."""
    shown = cache(plain)  # a few names, many times
    columns: list[list[Any]] = [[] for _ in METRICS_COLUMNS]
    for key in sorted(records):
        rows = [(shown(m.predictor), shown(m.split), shown(m.metric), m.value) for m in records[key].metrics]
        for row in sorted(rows, key=itemgetter(0, 1, 2)):
            for column, value in zip(columns, (key, *row), strict=True):
                column.append(value)
    *texts, values = columns
    named = zip(METRICS_COLUMNS, texts, strict=False)
    frame = pd.DataFrame({name: pd.Series(column, dtype="object") for name, column in named})
    return frame.assign(value=pd.Series(values, dtype="float64"))


def documents_frame_of(planned: Mapping[str, PlannedCell]) -> pd.DataFrame:
    """cell, then DOCUMENT_PARTS as JSON, "" for what a document lacks."""
    texts: dict[int, str] = {}  # most cells have the very same parts

    def text(part: Any) -> str:
        if id(part) not in texts:
            texts[id(part)] = json.dumps(part)
        return texts[id(part)]

    rows = [
        (key, *(text(document[name]) if name in document else "" for name in DOCUMENT_PARTS))
        for key, document in ((key, entry.cell.document) for key, entry in planned.items())
    ]
    return pd.DataFrame(rows, columns=["cell", *DOCUMENT_PARTS], dtype="object")


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """The text of `csv_text` as a file, atomically."""
    write_atomic(path, csv_text(frame))


def csv_text(frame: pd.DataFrame) -> str:
    """Missing numbers are empty; lines end in a newline on every system. No text begins a formula."""
    guarded = frame.rename(columns=plain)
    for name in guarded.select_dtypes(exclude="number"):
        guarded[name] = [guard(value) if isinstance(value, str) else value for value in guarded[name]]
    return guarded.to_csv(index=False, lineterminator="\n")


def _column(name: str, values: Sequence[Any]) -> pd.Series[Any]:
    if name not in INTEGER_COLUMNS and (known := _plain_column(name, values)) is not None:
        return known
    if name in INTEGER_COLUMNS:
        numbers = [_number(v) for v in values]
        whole = all(n is None or (n.is_integer() and abs(n) < LARGEST) for n in numbers)
        return pd.Series([None if n is None else int(n) for n in numbers], dtype="Int64") if whole else _floats(numbers)
    empty = [_is_empty(v) for v in values]
    if name in FLOAT_COLUMNS or (name.startswith("x_") and not all(empty)):
        numbers = [None if e else _number(v, name in ENDLESS_COLUMNS) for e, v in zip(empty, values, strict=True)]
        if all(e or n is not None for e, n in zip(empty, numbers, strict=True)):
            return _floats(numbers)
    if name in FLOAT_COLUMNS:
        raise UserError(f"column {name} holds what is not a number")
    if name == "parameters":
        return pd.Series(["" if v is None else v for v in values], dtype="object")
    return pd.Series(["" if e else _text(v) for e, v in zip(empty, values, strict=True)], dtype="object")


def _plain_column(name: str, values: Sequence[Any]) -> pd.Series[Any] | None:
    """As `_column` of what holds finite numbers alone, or texts alone, where some may be missing; None of the rest.

    Almost all columns do, and looking at each value takes most of the time of a large table.
    """
    kinds = set(map(type, values)) - {type(None)}
    if kinds == {str} and name not in FLOAT_COLUMNS and name != "parameters" and not name.startswith("x_"):
        texts = {None: "", **{text: plain(text) for text in set(values) - {None}}}
        return pd.Series([texts[value] for value in values], dtype="object")
    if kinds == {float} and (name in FLOAT_COLUMNS or name.startswith("x_")):
        numbers = np.array(values, dtype=np.float64)
        return None if np.isinf(numbers).any() else pd.Series(numbers)
    return None


def _floats(numbers: Sequence[float | None]) -> pd.Series[Any]:
    return pd.Series([math.nan if n is None else n for n in numbers], dtype="float64")


def _number(value: Any, endless: bool = False) -> float | None:
    try:
        number = None if _is_empty(value) else float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if number is None or math.isfinite(number) or (endless and number == math.inf) else None


def _is_empty(value: Any) -> bool:
    return value is None or value is pd.NA or value == "" or (isinstance(value, float) and math.isnan(value))


def _text(value: Any) -> str:
    """On one line, without what a CSV file or a terminal stumbles over."""
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return plain(text)
