"""What is known of a column: its dtype, unit, meaning, and the group that it belongs to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd
from pandas.api.types import pandas_dtype

# The dtypes of all frames. Text is object dtype in every release of pandas, and "" where there is none.
TEXT, INTEGER, NUMBER, FLAG = "object", "Int64", "float64", "bool"

# What a column tells of. A metric may name any of these, or one of its own.
IDENTITY, OUTCOME, QUALITY, COST, PRIVACY, PROVENANCE = (
    "identity", "outcome", "quality", "cost", "privacy", "provenance",
)  # fmt: skip
# Of numbers that a method gives of itself.
METHOD = "method"


@dataclass(frozen=True)
class Column:
    """One column of a frame.

    name: the column's.
    dtype: of pandas: "object" for text, "Int64", "float64", "bool".
    unit: "%", "points", "s"; "" for none.
    group: what it tells of: "identity", "quality", "cost".
    meaning: one sentence without its full stop.
    """

    name: str
    dtype: str
    unit: str
    group: str
    meaning: str


def texts(group: str, *named: tuple[str, str]) -> tuple[Column, ...]:
    """Columns of text, from (name, meaning)."""
    return tuple(Column(name, TEXT, "", group, meaning) for name, meaning in named)


def numbers(group: str, *named: tuple[str, str, str]) -> tuple[Column, ...]:
    """Columns of float64, from (name, unit, meaning)."""
    return tuple(Column(name, NUMBER, unit, group, meaning) for name, unit, meaning in named)


def integers(group: str, *named: tuple[str, str, str]) -> tuple[Column, ...]:
    """Columns of Int64, from (name, unit, meaning)."""
    return tuple(Column(name, INTEGER, unit, group, meaning) for name, unit, meaning in named)


def flags(group: str, *named: tuple[str, str]) -> tuple[Column, ...]:
    """Columns of bool, from (name, meaning)."""
    return tuple(Column(name, FLAG, "", group, meaning) for name, meaning in named)


def by_name(columns: Iterable[Column]) -> dict[str, Column]:
    return {column.name: column for column in columns}


def as_dtype(values: pd.Series[Any], dtype: str) -> pd.Series[Any]:
    """ValueError or TypeError for what is not of it."""
    return values.astype(pandas_dtype(dtype))
