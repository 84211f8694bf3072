"""The tables of several folders as one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import is_object_dtype

from kdharness.results.contents import Contents
from kdharness.results.record import COLUMNS
from kdharness.results.table import ORDER, frame_of
from kdharness.text import plain

Columns = list["pd.Series[Any]"]


def joined(folders: Sequence[Contents]) -> pd.DataFrame:
    """As `frame_of` makes it of the rows of all. What is kept of a folder is not read anew, unless a column holds
    numbers in one of them and text in another.
    """
    frames = [contents.frame for contents in folders]
    if len(frames) == 1:
        return frames[0]
    extra = sorted({str(name) for frame in frames for name in frame.columns} - set(COLUMNS), key=plain)
    columns = {name: _columns(name, frames) for name in (*COLUMNS, *extra)}
    if any(len({column.dtype for column in each}) > 1 for each in columns.values()):
        return frame_of(row for contents in folders for row in contents.rows)
    whole = pd.DataFrame({name: pd.concat(each, ignore_index=True) for name, each in columns.items()})
    return whole.sort_values(list(ORDER), kind="stable", ignore_index=True)


def _columns(name: str, frames: Sequence[pd.DataFrame]) -> Columns:
    """One for each; a frame has an empty one of the others' kind where it has none, or holds nothing in it."""
    kinds = [frame[name].dtype for frame in frames if name in COLUMNS or (name in frame and _holds(frame[name]))]
    kind = kinds[0] if kinds else np.dtype(object)
    missing = "" if is_object_dtype(kind) else math.nan
    return [
        frame[name]
        if name in frame and (name in COLUMNS or not kinds or _holds(frame[name]))
        else pd.Series([missing] * len(frame), dtype=kind)
        for frame in frames
    ]


def _holds(column: pd.Series[Any]) -> bool:
    """Whether anything is in it."""
    return bool((column != "").any() if is_object_dtype(column.dtype) else column.notna().any())
