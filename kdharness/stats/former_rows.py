"""Leaderboard rows of revisions of methods that others supersede: what was measured stays to be seen, in no ranking."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from kdharness.planning.cell import STUDENT
from kdharness.stats.settings import BLOCK, COMPETITOR, superseded
from kdharness.stats.standings import OF_RANK, columns, standings

SUPERSEDED = "superseded_by"
_PLACE = [*BLOCK, "student", *COMPETITOR]
_COMPARED = ("rank", *OF_RANK, "visible_difference", "gap_share")


def former_rows(frame: pd.DataFrame, references: Sequence[str]) -> pd.DataFrame:
    """One for each such revision, setting and variant: summary and costs of its own cells, `columns(references)` and
    SUPERSEDED. What compares it with others is empty.
    """
    marks = superseded(frame)
    marks = marks[marks != ""]
    old = frame.loc[marks.index].assign(**{SUPERSEDED: marks})
    parts = [_of_revision(frame, old[old["method_revision"] == r], r, references) for r in _revisions(old)]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=[*columns(references), SUPERSEDED])


def _revisions(old: pd.DataFrame) -> list[str]:
    return sorted(set(old["method_revision"]))


def _of_revision(frame: pd.DataFrame, old: pd.DataFrame, revision: str, references: Sequence[str]) -> pd.DataFrame:
    """The rows of a table in which that revision is the only one in its places."""
    counts = dict(zip(old[_PLACE].itertuples(index=False, name=None), old[SUPERSEDED], strict=True))
    there = pd.MultiIndex.from_frame(frame[_PLACE]).isin(list(counts)) & (frame["role"] == STUDENT)
    board = standings(frame[~there | (frame["method_revision"] == revision)], references)
    places = list(board[_PLACE].itertuples(index=False, name=None))
    own = [place in counts and text == revision for place, text in zip(places, board["method_revision"], strict=True)]
    compared = [name for name in board.columns if name in _COMPARED or name.startswith("gain_over_")]
    marks = [counts.get(place, "") for place in places]
    empty = board.assign(**dict.fromkeys(compared, math.nan)).assign(pareto=False)
    return empty.assign(**{SUPERSEDED: marks})[own]
