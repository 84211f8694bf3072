"""leaderboard.csv: the standings as others load, merge and check them. The same results give the same bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import MappingProxyType

import pandas as pd

from kdharness.stats.board_schema import LEADERBOARD_SCHEMA, SCHEMA_COLUMN, board_columns, typed
from kdharness.stats.plugin_columns import PluginColumns, plugin_columns
from kdharness.stats.standings import REFERENCES, standings

NONE: PluginColumns = MappingProxyType({})


def _unsaid(line: str) -> None:
    """For who adds no columns that could fail."""


def leaderboard(
    frame: pd.DataFrame,
    references: Sequence[str] = REFERENCES,
    added: PluginColumns = NONE,
    warn: Callable[[str], None] = _unsaid,
) -> pd.DataFrame:
    """The standings of what follows its benchmark: students of runs without deviations; `board_columns(references)`,
    then the columns of plugins.

    frame: the results table. One row per setting, method and variant, numbers as they were computed. warn: called with
    a line for each column of a plugin that is left empty.
    """
    own = frame[frame["deviations"] == ""]
    board = standings(own, references)
    extra = plugin_columns(own, board, added)
    for each in extra:
        if each.fault:
            warn(each.fault)
    values = {each.column.name: pd.Series(each.values, index=board.index, dtype="object") for each in extra}
    whole = board.assign(**{SCHEMA_COLUMN: LEADERBOARD_SCHEMA}).assign(**values)
    return typed(whole, [*board_columns(references), *(each.column for each in extra)])
