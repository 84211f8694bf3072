"""Several revisions of a method in one place: which one counts. Their cells are never averaged with each other."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd


def superseded_by(rows: pd.DataFrame, place: Sequence[str]) -> pd.Series[str]:
    """By row, the revision of its method that counts in its place; "" where that is its own.

    The newest counts of those with a cell that is ok: the larger number, and where they are no numbers or the same one,
    what ended last.
    """
    found = pd.Series("", index=rows.index, dtype="object")
    if not (rows.groupby("method")["method_revision"].nunique() > 1).any():
        return found
    for _, group in rows.groupby(list(place)):
        if group["method_revision"].nunique() > 1:
            newest = _newest(group)
            others = group.index[group["method_revision"] != newest]
            found.loc[others] = newest
    return found


def _newest(group: pd.DataFrame) -> str:
    ok = group[group["status"] == "ok"]
    latest = (ok if len(ok) else group).groupby("method_revision")["finished_at"].max()
    ended = {str(revision): str(time) for revision, time in latest.items()}
    return max(ended, key=lambda revision: (_number(revision), ended[revision], revision))


def _number(revision: str) -> int:
    """1 of '1' and of '1+0a1b', which was edited; -1 of what is no number."""
    number = revision.partition("+")[0]
    return int(number) if number.isascii() and number.isdecimal() else -1
