"""The standings setting by setting, each with what one must know to read it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from kdharness.planning.cell import STUDENT
from kdharness.protocol.benchmark import STANDARD
from kdharness.protocol.track import DEFAULT_TRACK
from kdharness.stats.settings import (
    ALIKE,
    BLOCK,
    COMPETITOR,
    SETTING,
    as_dicts,
    comparable,
    competitor_of,
    deviating,
    names_of,
)
from kdharness.stats.standings import standings

NUMBERS = ("top1", "nll", "ece")


@dataclass(frozen=True)
class Ranking:
    """The competitors of one setting, best first.

    names: the setting's columns. board: rows of `standings` with at least one value.
    references: those that some gain is measured against. protocols: how many the same data has, ranked apart.
    teachers: name and top-1 of each teacher, where there are several.
    identical: names of competitors whose students gave the same numbers to the last digit, for every seed.
    """

    names: Mapping[str, str]
    deviations: str
    board: pd.DataFrame
    references: tuple[str, ...]
    protocols: int
    teachers: tuple[tuple[str, float], ...]
    identical: tuple[tuple[str, ...], ...]


def rankings(frame: pd.DataFrame, references: Sequence[str]) -> tuple[Ranking, ...]:
    """One for each setting: those that follow their benchmark, then those that deviate; the default track first, then
    the benchmark's usual recipe, then the longest.
    """
    found: list[Ranking] = []
    for deviations in sorted(set(frame["deviations"])):
        rows = deviating(frame, deviations) if deviations else frame[frame["deviations"] == ""]
        found += _rankings(frame, rows, deviations, references)
    return tuple(sorted(found, key=_order))


def _order(ranking: Ranking) -> tuple[str, bool, bool, int]:
    names = ranking.names
    return ranking.deviations, names["track"] != DEFAULT_TRACK, names["recipe"] != STANDARD, -len(ranking.board)


def _rankings(frame: pd.DataFrame, rows: pd.DataFrame, deviations: str, references: Sequence[str]) -> Iterator[Ranking]:
    own = frame[(frame["deviations"] == deviations) & (frame["role"] == STUDENT)]
    protocols = own.groupby(list(ALIKE))["protocol"].nunique().to_dict()
    board = standings(rows, references)
    cells = dict(iter(comparable(rows)[0][[*SETTING, *COMPETITOR, "status", "seed", *NUMBERS]].groupby(list(SETTING))))
    for key, ranked in board[board["n"] > 0].groupby(list(SETTING)):
        names = names_of(key)
        yield Ranking(
            names=names,
            deviations=deviations,
            board=ranked.reset_index(drop=True),
            references=tuple(r for r in references if ranked[f"gain_over_{r}"].notna().any()),
            protocols=protocols[tuple(names[column] for column in ALIKE)],
            teachers=_each_teacher(frame, names),
            identical=_identical(cells[key], ranked),
        )


def rows_by_setting(frame: pd.DataFrame, deviations: str) -> dict[tuple[str, ...], pd.DataFrame]:
    """The rows of a results table that rankings with these deviations are made of, by the values of SETTING."""
    own = deviating(frame, deviations) if deviations else frame[frame["deviations"] == ""]
    return {tuple(map(str, key)): rows for key, rows in comparable(own)[0].groupby(list(SETTING))}


def _each_teacher(frame: pd.DataFrame, names: Mapping[str, str]) -> tuple[tuple[str, float], ...]:
    """Name and top-1 of each of a setting's teachers, where they are several and were trained here."""
    models = names["teacher"].split("+")
    if len(models) == 1:
        return ()
    here = (frame[[*BLOCK, "teacher", "student"]] == [names[n] for n in (*BLOCK, "teacher", "student")]).all(axis=1)
    keys = {key for cells in frame.loc[here, "teacher_cell"] for key in str(cells).split("+")}
    rows = frame[frame["cell"].isin(keys) & frame["top1"].notna()]
    found = dict(zip(rows["student"], rows["top1"].astype(float), strict=True))
    return tuple((name, found[name]) for name in models if name in found)


def _identical(cells: pd.DataFrame, board: pd.DataFrame) -> tuple[tuple[str, ...], ...]:
    """Competitors of a setting whose NUMBERS are equal, seed by seed."""
    measured = cells[cells["status"] == "ok"].sort_values("seed")
    numbers = measured[["seed", *NUMBERS]].to_numpy(dtype=np.float64, na_value=np.nan) + 0.0  # of zeros one
    shown = {(row["method"], row["variant"]): competitor_of(row) for row in as_dicts(board)}
    groups: dict[bytes, list[str]] = {}
    for competitor, places in sorted(measured.groupby(list(COMPETITOR)).indices.items()):
        own = numbers[places]
        own = own[~np.isnan(own).any(axis=1)]
        if competitor in shown and len(own):
            groups.setdefault(own.tobytes(), []).append(shown[competitor])
    return tuple(tuple(names) for names in groups.values() if len(names) > 1)
