"""A column that a plugin adds to leaderboards. Importing this module loads neither torch nor pandas."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from kdharness.api.parameters import check_name

if TYPE_CHECKING:
    import pandas as pd

ColumnType = Literal["float", "integer", "text"]


@dataclass(frozen=True)
class LeaderboardColumn:
    """A named function of a leaderboard row's cells.

    name: [a-z][a-z0-9_]*; the column is called so, with "x_" before it.
    function: called once for each row that has such cells, with those that are ok: a table with the columns of
        results.csv, in order of seeds, to keep or to change. Gives the row's value, None for none.
    summary: what it means, in a line.
    dtype: of the values, "float", "integer" or "text".
    unit: of numbers.
    """

    name: str
    function: Callable[[pd.DataFrame], float | str | None]
    summary: str = ""
    dtype: ColumnType = "float"
    unit: str = ""

    def __post_init__(self) -> None:
        check_name(self.name, "leaderboard column")
        if self.dtype not in get_args(ColumnType):
            known = ", ".join(get_args(ColumnType))
            raise ValueError(f"leaderboard column '{self.name}': dtype is {self.dtype!r}, none of {known}")
