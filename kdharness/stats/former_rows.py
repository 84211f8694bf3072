"""Leaderboard rows of revisions of methods that others supersede: what was measured stays to be seen, in no ranking."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from kdharness.planning.cell import STUDENT
from kdharness.stats.settings import BLOCK, COMPETITOR, as_dicts, competitor_of, superseded
from kdharness.stats.standings import OF_RANK, columns, standings

SUPERSEDED = "superseded_by"
SHORT_LETTERS = 16
_PLACE = [*BLOCK, "student", *COMPETITOR]
_COMPARED = ("rank", *OF_RANK, "visible_difference", "gap_share")


@dataclass(frozen=True)
class FormerCells:
    """Cells of such revisions: how many, and of what: 'kd of revision 1 (2 counts)', in order of names."""

    cells: int = 0
    names: tuple[str, ...] = ()


def former_cells(frame: pd.DataFrame) -> FormerCells:
    """Those of a results table."""
    marks = superseded(frame)
    marks = marks[marks != ""]
    rows = frame.loc[marks.index].assign(**{SUPERSEDED: marks})
    names = {
        f"{competitor_of(row)} of revision {_short(row['method_revision'])} ({_short(row[SUPERSEDED])} counts)"
        for row in as_dicts(rows)
    }
    return FormerCells(int(rows["cell"].nunique()), tuple(sorted(names)))


def _short(revision: str) -> str:
    """A digest's first letters."""
    return revision[:SHORT_LETTERS]


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
