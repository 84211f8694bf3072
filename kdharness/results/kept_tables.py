"""Tables as arrays in a file, to be read again to the last bit and without running anything."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kdharness.results.arrays import Arrays, read_arrays
from kdharness.results.files import write_atomic


def write_table(path: Path, stamp: str, table: pd.DataFrame) -> None:
    """UserError where it cannot be written. stamp: what the table is of."""
    arrays, columns = _arrays(table)
    head = _bytes(json.dumps({"stamp": stamp, "columns": columns}))
    write_atomic(path, lambda file: np.savez(file, head=head, **arrays))  # type: ignore[arg-type]


def read_table(path: Path, stamp: str) -> pd.DataFrame | None:
    """None where there is none, or none of this stamp."""
    try:
        arrays = read_arrays(path)
        head = json.loads(arrays["head"].tobytes())
        return _frame(arrays, head["columns"]) if head["stamp"] == stamp else None
    except (LookupError, ValueError, TypeError):  # UnreadableArrays among them
        return None


def _arrays(table: pd.DataFrame) -> tuple[dict[str, NDArray[Any]], list[tuple[str, str]]]:
    """The values of all columns, and each one's name and kind. Texts are numbered: most occur many times."""
    arrays: dict[str, NDArray[Any]] = {}
    columns = []
    for place, name in enumerate(table.columns):
        column = table[name]
        if column.dtype == "Int64":
            kind, arrays[f"missing{place}"] = "integer", column.isna().to_numpy()
            arrays[f"values{place}"] = column.to_numpy(dtype=np.int64, na_value=0)
        elif column.dtype in (np.float64, np.int64):
            kind, arrays[f"values{place}"] = "number", column.to_numpy()
        else:
            codes, texts = pd.factorize(column)
            kind, arrays[f"values{place}"] = "text", codes.astype(np.int32)
            arrays[f"texts{place}"] = _bytes(json.dumps(list(texts)))
        columns.append((str(name), kind))
    return arrays, columns


def _frame(arrays: Arrays, columns: Sequence[tuple[str, str]]) -> pd.DataFrame:
    found: dict[str, pd.Series[Any]] = {}
    for place, (name, kind) in enumerate(columns):
        values = arrays[f"values{place}"]
        if kind == "integer":
            found[name] = pd.Series(pd.arrays.IntegerArray(values, arrays[f"missing{place}"]))
        elif kind == "number":
            found[name] = pd.Series(values)
        else:
            texts = np.array(json.loads(arrays[f"texts{place}"].tobytes()), dtype=object)
            found[name] = pd.Series(texts[values], dtype="object")
    return pd.DataFrame(found, columns=[name for name, _ in columns])


def _bytes(text: str) -> NDArray[np.uint8]:
    return np.frombuffer(text.encode(), dtype=np.uint8)
