"""Frames as files: CSV for everybody, parquet where pyarrow is (extra `parquet`)."""

from __future__ import annotations

import importlib.util
import io
from enum import StrEnum
from pathlib import Path

import pandas as pd

from kdharness.errors import UserError
from kdharness.frames.results import Results
from kdharness.results.files import write_atomic
from kdharness.results.table import write_csv
from kdharness.text import plain

ADVICE = "parquet needs pyarrow: pip install 'kdharness[parquet]'"
DICTIONARY = "columns"


class Format(StrEnum):
    CSV = "csv"
    PARQUET = "parquet"


def export(results: Results, folder: Path, form: Format = Format.CSV) -> list[Path]:
    """Writes cells, metrics, history, leaderboard and claims, and what their columns are; where they are.

    UserError where they cannot be written, and for parquet without pyarrow.
    """
    if form is Format.PARQUET and importlib.util.find_spec("pyarrow") is None:
        raise UserError(ADVICE)
    frames = {**results.frames, DICTIONARY: results.describe()}
    paths = {name: folder / f"{name}.{form.value}" for name in frames}
    for name, frame in frames.items():
        if form is Format.PARQUET:
            write_atomic(paths[name], _parquet(frame))
        else:
            write_csv(frame, paths[name])
    return list(paths.values())


def _parquet(frame: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.rename(columns=plain).to_parquet(buffer, engine="pyarrow", index=False)
    return buffer.getvalue()
