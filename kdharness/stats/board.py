"""leaderboard.csv: the standings as others load, merge and check them. The same results give the same bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import MappingProxyType

import pandas as pd

from kdharness.stats.board_schema import LEADERBOARD_SCHEMA, SCHEMA_COLUMN, board_columns, typed
from kdharness.stats.former_rows import SUPERSEDED, former_rows
from kdharness.stats.plugin_columns import PluginColumns, plugin_columns
from kdharness.stats.settings import SETTING
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

    frame: the results table. One row per setting, method and variant, numbers as they were computed; behind those of
    its setting and regime one for each revision that another supersedes. warn: called with a line for each column of a
    plugin that is left empty.
    """
    own = frame[frame["deviations"] == ""]
    board = standings(own, references).assign(**{SUPERSEDED: ""})
    extra = plugin_columns(own, board, added)
    for each in extra:
        if each.fault:
            warn(each.fault)
    values = {each.column.name: pd.Series(each.values, index=board.index, dtype="object") for each in extra}
    declared = [*board_columns(references), *(each.column for each in extra)]
    whole = typed(board.assign(**{SCHEMA_COLUMN: LEADERBOARD_SCHEMA}).assign(**values), declared)
    former = former_rows(own, references)
    if former.empty:
        return whole
    former = former.assign(**{SCHEMA_COLUMN: LEADERBOARD_SCHEMA}).assign(**dict.fromkeys(values))
    both = pd.concat([whole, typed(former, declared)], ignore_index=True)
    return both.sort_values([*SETTING, "regime"], kind="stable", ignore_index=True)
