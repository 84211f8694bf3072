"""leaderboard.csv: the standings as others load, merge and check them. The same results give the same bytes."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from kdharness.stats.board_schema import LEADERBOARD_SCHEMA, SCHEMA_COLUMN, board_columns, typed
from kdharness.stats.standings import REFERENCES, standings


def leaderboard(frame: pd.DataFrame, references: Sequence[str] = REFERENCES) -> pd.DataFrame:
    """The standings of what follows its benchmark: students of runs without deviations; `board_columns(references)`.

    frame: the results table. One row per setting, method and variant, numbers as they were computed.
    """
    board = standings(frame[frame["deviations"] == ""], references)
    return typed(board.assign(**{SCHEMA_COLUMN: LEADERBOARD_SCHEMA}), board_columns(references))
