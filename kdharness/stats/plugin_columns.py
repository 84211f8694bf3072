"""The columns that plugins add to a leaderboard. What goes wrong in one of them leaves it empty."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from numbers import Integral, Real
from typing import Any

import pandas as pd

from kdharness.api.leaderboard import LeaderboardColumn
from kdharness.failures import Failure, attempt
from kdharness.registry.loading import quiet_stdout
from kdharness.registry.source import Registered
from kdharness.stats.board_schema import BoardColumn
from kdharness.stats.rankings import Ranking
from kdharness.stats.settings import COMPETITOR, SETTING, comparable
from kdharness.text import plain

# By name, or by "package/name" where several packages claim it.
PluginColumns = Mapping[str, Registered[LeaderboardColumn]]


@dataclass(frozen=True)
class PluginColumn:
    """One of them, filled. column: what it is. values: one per row of the board; None for none. fault: why it is empty;
    "" where it is not.
    """

    column: BoardColumn
    values: list[Any]
    fault: str


def plugin_columns(frame: pd.DataFrame, board: pd.DataFrame, added: PluginColumns) -> list[PluginColumn]:
    """In order of names. frame: the results table that the board was made from."""
    if not added:
        return []
    rows, _ = comparable(frame)
    ok = rows[rows["status"] == "ok"]
    key = [*SETTING, *COMPETITOR]
    groups = {names: own[frame.columns].sort_values("seed", ignore_index=True) for names, own in ok.groupby(key)}
    places = list(board[key].itertuples(index=False, name=None))
    return [_filled(name, registered, places, groups) for name, registered in sorted(added.items())]


def columns_of_rankings(
    frame: pd.DataFrame, rankings: Sequence[Ranking], added: PluginColumns
) -> tuple[tuple[PluginColumn, ...], ...]:
    """Those of each ranking that is on the leaderboard, one value per row of its board; none for what deviates."""
    boards = [ranking.board for ranking in rankings if not ranking.deviations]
    if not added or not boards:
        return ()
    whole = plugin_columns(frame[frame["deviations"] == ""], pd.concat(boards, ignore_index=True), added)
    found: list[tuple[PluginColumn, ...]] = []
    start = 0
    for ranking in rankings:
        end = start if ranking.deviations else start + len(ranking.board)
        own = () if ranking.deviations else tuple(replace(each, values=each.values[start:end]) for each in whole)
        found.append(own)
        start = end
    return tuple(found)


def _filled(
    name: str,
    registered: Registered[LeaderboardColumn],
    places: Iterable[tuple[Hashable, ...]],
    groups: Mapping[Any, pd.DataFrame],
) -> PluginColumn:
    spec = registered.spec
    column = BoardColumn(f"x_{name}", spec.dtype, spec.summary, spec.unit)
    cells = [groups.get(place) for place in places]
    with quiet_stdout():
        values = attempt(lambda: [None if own is None else _value(spec, own.copy()) for own in cells])
    if not isinstance(values, Failure):
        return PluginColumn(column, values, "")
    fault = f"the leaderboard's column '{column.name}' of {registered.source} is empty: {values.error}"
    return PluginColumn(column, [None] * len(cells), fault)


def _value(spec: LeaderboardColumn, cells: pd.DataFrame) -> Any:
    """TypeError for a value of another type than the column's."""
    value: Any = spec.function(cells)
    if value is None or value is pd.NA or (isinstance(value, Real) and math.isnan(value)):
        return None
    if TYPES[spec.dtype](value):
        return READ[spec.dtype](value)
    raise TypeError(f"it is to give {WORDS[spec.dtype]} or None, and gave {value!s:.40} ({type(value).__name__})")


def _is_number(kind: type, value: Any) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool) and math.isfinite(value)  # type: ignore[arg-type]


TYPES: Mapping[str, Callable[[Any], bool]] = {
    "float": partial(_is_number, Real),
    "integer": partial(_is_number, Integral),
    "text": lambda value: isinstance(value, str),
}
READ: Mapping[str, Callable[[Any], Any]] = {"float": float, "integer": int, "text": lambda value: plain(str(value))}
WORDS = {"float": "a finite number", "integer": "a whole number", "text": "a text"}
