"""Gains over all pairs of a benchmark that share one protocol."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from kdharness.stats.settings import BLOCK, COMPETITOR, SETTING, comparable
from kdharness.stats.summary import Measured, estimate, measured_by
from kdharness.text import seeds_text

OVERALL_COLUMNS = (
    *BLOCK, "regime", *COMPETITOR, "pairs", "pairs_planned", "n", "seeds", "gain", "sd", "ci_low", "ci_high",
)  # fmt: skip

OF_REFERENCE = ("gain", "n", "pairs", "ci_low", "ci_high")


@dataclass(frozen=True)
class Overall:
    """Mean gains over the pairs of one protocol.

    names: the columns of BLOCK. pairs: how many there are.
    rows: one per competitor, best first; OF_REFERENCE by reference ('kd_gain', 'kd_n').
    references: those that some gain is measured against.
    """

    names: Mapping[str, str]
    pairs: int
    rows: pd.DataFrame
    references: tuple[str, ...]


def overalls(frame: pd.DataFrame, references: Sequence[str]) -> tuple[Overall, ...]:
    """One for each protocol with several pairs, from a results table; what deviates is left out."""
    rows = comparable(frame[frame["deviations"] == ""])[0]
    tables = {reference: overall(rows, reference) for reference in references}
    return tuple(_overalls(rows, tables))


def _overalls(rows: pd.DataFrame, tables: Mapping[str, pd.DataFrame]) -> Iterator[Overall]:
    for key, block in rows.groupby(list(BLOCK)):
        gains = {reference: _of_block(table, key) for reference, table in tables.items()}
        useful = {reference: table for reference, table in gains.items() if table["gain"].notna().any()}
        if useful:
            names = {column: str(value) for column, value in zip(BLOCK, key, strict=True)}
            pairs = len(block[["teacher", "teacher_source", "student"]].drop_duplicates())
            yield Overall(names, pairs, _by_gain(_beside_each_other(useful), tuple(useful)), tuple(useful))


def _of_block(table: pd.DataFrame, key: tuple[Hashable, ...]) -> pd.DataFrame:
    return table[(table[list(BLOCK)] == list(key)).all(axis=1) & (table["pairs_planned"] > 1)]


def _beside_each_other(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The gains over each reference as columns of one table."""
    key = [*BLOCK, "regime", *COMPETITOR, "pairs_planned"]
    found: pd.DataFrame | None = None
    for reference, gains in tables.items():
        renamed = gains[[*key, *OF_REFERENCE]].rename(columns={name: f"{reference}_{name}" for name in OF_REFERENCE})
        found = renamed if found is None else found.merge(renamed, on=key, how="outer")
    assert found is not None
    return found


def _by_gain(found: pd.DataFrame, references: Sequence[str]) -> pd.DataFrame:
    """Best first by the last reference, which itself stands at zero; what lacks pairs below what has all of them."""
    measured = found[[f"{name}_gain" for name in references]].notna().any(axis=1)
    own = (found["method"] == references[-1]) & (found["variant"] == "")
    gain = found[f"{references[-1]}_gain"].mask(own, 0.0)
    pairs = found[[f"{name}_pairs" for name in references]].max(axis=1)
    ordered = found.assign(_gain=gain, _lacking=found["pairs_planned"] - pairs)[measured]
    ascending = [True, True, False, True, True]
    ordered = ordered.sort_values(["regime", "_lacking", "_gain", *COMPETITOR], ascending=ascending, ignore_index=True)
    return ordered.drop(columns=["_gain", "_lacking"])


def overall(rows: pd.DataFrame, reference: str, value: str = "top1") -> pd.DataFrame:
    """The mean gain over the reference of every competitor, over the pairs that it finished; columns OVERALL_COLUMNS.

    rows: from `comparable`. For each seed the gains are averaged over the pairs, and the interval is Student's over
    seeds: pairs that share a student or a teacher are not independent of each other, seeds are. A pair counts when
    every planned seed of the competitor has a value; seeds that some counted pair lacks are left out.
    """
    found: list[dict[Hashable, Any]] = []
    measured = dict(measured_by(rows, (*SETTING, *COMPETITOR), value))
    for names, block in rows[[*SETTING, "regime", *COMPETITOR]].drop_duplicates().groupby(list(BLOCK)):
        place: dict[Hashable, Any] = dict(zip(BLOCK, names, strict=True))
        settings = sorted(set(block[list(SETTING)].itertuples(index=False, name=None)))
        competitors = block[["regime", *COMPETITOR]].drop_duplicates().sort_values(["regime", *COMPETITOR])
        for regime, *competitor in competitors.itertuples(index=False, name=None):
            if competitor != [reference, ""]:
                gains = _gains([(*setting, *competitor) for setting in settings], reference, measured)
                about: dict[Hashable, Any] = dict(zip(COMPETITOR, competitor, strict=True))
                found.append({**place, "regime": regime, **about, "pairs_planned": len(settings), **_mean(gains)})
    return pd.DataFrame(found, columns=list(OVERALL_COLUMNS))


# By (*SETTING, *COMPETITOR).
ByPlace = Mapping[tuple[Hashable, ...], Measured]
# Seeds, ascending, and the gain of each.
Gains = tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]


def _gains(places: Iterable[tuple[Hashable, ...]], reference: str, measured: ByPlace) -> Iterator[Gains]:
    """For each place (*SETTING, *COMPETITOR) in which the competitor is finished and shares a seed."""
    for place in places:
        ours, base = measured.get(place), measured.get((*place[: len(SETTING)], reference, ""))
        if ours is not None and base is not None and ours.is_whole:
            seeds, mine, its = np.intersect1d(ours.seeds, base.seeds, assume_unique=True, return_indices=True)
            if len(seeds):
                yield seeds, ours.values[mine] - base.values[its]


def _mean(gains: Iterable[Gains]) -> dict[Hashable, Any]:
    each = list(gains)
    both = reduce(np.intersect1d, (seeds for seeds, _ in each)) if each else np.array([], dtype=np.int64)
    values = [own[np.searchsorted(seeds, both)] for seeds, own in each]
    mean = estimate(np.mean(values, axis=0).tolist() if each else [])
    return {
        "pairs": len(each), "n": mean.n, "seeds": seeds_text(both.tolist()),
        "gain": mean.mean, "sd": mean.sd, "ci_low": mean.ci_low, "ci_high": mean.ci_high,
    }  # fmt: skip
