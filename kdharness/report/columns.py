"""The columns of a report's tables as text, aligned, for whatever draws them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from kdharness.report.view import OverallView, SettingView, name_of

SHORT = {"practically equal": "equal"}
MEBIBYTE = 2**20
NAME_WIDTH = 12
# What goes first where there is little room: memory, time, gains over all references but the last, the verdict.
MEMORY, COST, GAIN, VERDICT = 1, 2, 3, 4


@dataclass(frozen=True)
class Column:
    """values: one text per row. name: whether it holds names, which may fold; words: left-aligned, as names are.

    dropped: the order in which narrow places do without the column, 0 for never.
    """

    header: str
    values: tuple[str, ...]
    name: bool = False
    words: bool = False
    dropped: int = 0

    @property
    def width(self) -> int:
        return max(len(text) for text in (self.header, *self.values))


@dataclass(frozen=True)
class Grid:
    """A table as text. groups: (first row, label) where a regime of its own begins."""

    columns: tuple[Column, ...]
    groups: tuple[tuple[int, str], ...] = ()

    def fit(self, width: int, gap: int = 2) -> Grid:
        """Without the columns for which a place of this width has no room. Names fold before a gain or verdict goes."""
        columns = list(self.columns)
        for column in sorted((c for c in self.columns if c.dropped), key=lambda c: c.dropped):
            folded = NAME_WIDTH if column.dropped > COST else width
            needed = sum(min(folded, c.width) if c.name else c.width for c in columns) + gap * (len(columns) - 1)
            if needed > width:
                columns.remove(column)
        return Grid(tuple(columns), self.groups)

    @property
    def rows(self) -> list[tuple[str, ...]]:
        return list(zip(*(column.values for column in self.columns), strict=True))


def setting_grid(view: SettingView) -> Grid:
    """Rank, method, top-1 ± standard deviation, gains ± half of their 95 % interval, verdict, cost."""
    board = beside_references(view.board, view.references)
    rows = [{str(k): v for k, v in row.items()} for row in board.to_dict("records")]
    found = [
        Column("#", tuple(_rank(row) for row in rows)),
        Column("method", tuple(name_of(row) for row in rows), name=True),
        Column("top-1 ±sd", with_error(board["top1_mean"], board["top1_sd"])),
        Column("n", tuple(_count(row) for row in rows)),
    ]
    for reference in view.references:
        dropped = 0 if reference == view.references[-1] else GAIN
        found.append(Column(f"vs {reference}", _gains(board, f"gain_over_{reference}"), dropped=dropped))
    if view.references:
        words = board[f"gain_over_{view.references[-1]}_verdict"]
        found.append(Column("verdict", tuple(SHORT.get(word, word) for word in words), words=True, dropped=VERDICT))
    seconds = tuple("" if math.isnan(s) else f"{s:.{1 if s < 100 else 0}f}" for s in board["train_seconds"])
    memory = tuple("" if pd.isna(b) else f"{b / MEBIBYTE:.0f}" for b in board["peak_memory_bytes"])
    found.append(Column("train s", seconds, dropped=COST))
    if any(memory):
        found.append(Column("MiB", memory, dropped=MEMORY))
    return Grid(tuple(found), _groups(rows))


def beside_references(board: pd.DataFrame, references: Sequence[str]) -> pd.DataFrame:
    """The board with the references repeated, marked as `beside`, at the top of each regime that lacks them."""
    plain = board[board["method"].isin(references) & (board["variant"] == "")].drop_duplicates("method")
    parts = []
    for regime, group in board.groupby("regime"):
        lacking = plain[~plain["method"].isin(group["method"][group["variant"] == ""])]
        if len(lacking):
            parts.append(lacking.assign(regime=regime, beside=True))
        parts.append(group.assign(beside=False))
    return pd.concat(parts, ignore_index=True) if parts else board.assign(beside=False)


def overall_grid(view: OverallView) -> Grid:
    """Mean gains over pairs, with the half width of their 95 % interval and the pairs that count."""
    rows = [{str(k): v for k, v in row.items()} for row in view.rows.to_dict("records")]
    found = [Column("method", tuple(name_of(row) for row in rows), name=True)]
    for reference in view.references:
        found.append(Column(f"vs {reference}", _gains(view.rows, f"{reference}_gain", f"{reference}_ci")))
    planned = [int(row["pairs_planned"]) for row in rows]
    pairs = [max(_whole(row.get(f"{reference}_pairs")) for reference in view.references) for row in rows]
    found.append(Column("pairs", tuple(f"{a}/{b}" for a, b in zip(pairs, planned, strict=True))))
    seeds = [max(_whole(row.get(f"{reference}_n")) for reference in view.references) for row in rows]
    found.append(Column("n", tuple(str(n) for n in seeds)))
    return Grid(tuple(found), _groups(rows))


def with_error(values: Iterable[float], errors: Iterable[float], sign: str = "") -> tuple[str, ...]:
    """'+2.96 ±0.14' for each value; blank where there is no value, and no ± where there is no error."""
    pairs = list(zip(values, errors, strict=True))
    left = ["" if pd.isna(value) else f"{value:{sign}.2f}" for value, _ in pairs]
    right = ["" if pd.isna(value) or pd.isna(error) else f"±{error:.2f}" for value, error in pairs]
    width = max((len(text) for text in right), default=0)
    # The errors are filled up to one width, so that the points of both numbers stand below each other.
    return tuple(f"{a} {b:>{width}}" if width and a else a for a, b in zip(left, right, strict=True))


def _gains(board: pd.DataFrame, name: str, interval: str = "") -> tuple[str, ...]:
    interval = interval or f"{name}_ci"
    return with_error(board[name], (board[f"{interval}_high"] - board[f"{interval}_low"]) / 2, "+")


def _rank(row: Mapping[str, Any]) -> str:
    return "" if row["beside"] else "-" if pd.isna(row["rank"]) else str(row["rank"])


def _count(row: Mapping[str, Any]) -> str:
    return str(row["n"]) if row["complete"] else f"{row['n']}/{row['planned']}"


def _whole(value: Any) -> int:
    return 0 if value is None or pd.isna(value) else int(value)


def _groups(rows: Sequence[Mapping[str, Any]]) -> tuple[tuple[int, str], ...]:
    regimes = [str(row["regime"]) for row in rows]
    starts = [i for i, regime in enumerate(regimes) if i == 0 or regime != regimes[i - 1]]
    return tuple((i, regimes[i].replace("_", " ")) for i in starts if regimes[i])
