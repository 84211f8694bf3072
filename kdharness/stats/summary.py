"""Mean, spread and interval of each competitor in each setting."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from functools import cache
from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from kdharness.stats.settings import COMPETITOR, SETTING
from kdharness.stats.significance import error_of_mean
from kdharness.text import seeds_text

CONFIDENCE = 0.95
LEAST_FOR_INTERVAL = 3

SUMMARY_COLUMNS = (
    *SETTING, "regime", *COMPETITOR, "planned", "ok", "failed", "pending", "skipped", "complete", "seeds", "n", "mean",
    "sd", "ci_low", "ci_high",
)  # fmt: skip

# What `measurements` reads beside the value: groups of few columns are cut out much faster than those of the table.
OF_CELL = ("status", "seed")

FAILED = ("failed", "oom", "timeout")
PENDING = ("interrupted", "unreadable", "not_run")


class Estimate(NamedTuple):
    """Mean and spread of n values.

    n: how many there are.
    mean: NaN without one.
    sd: with n - 1; NaN below two values.
    ci_low: of Student's t interval; NaN below three values.
    ci_high: likewise.
    """

    n: int
    mean: float
    sd: float
    ci_low: float
    ci_high: float


def estimate(values: Sequence[float], added_variance: float = 0.0, confidence: float = CONFIDENCE) -> Estimate:
    """Mean and spread of finite values; NaN throughout for none.

    added_variance: of the mean, from what more values would not lessen; the interval holds it, sd does not.
    """
    n = len(values)
    mean = float(np.mean(values)) if n else math.nan
    sd = float(np.std(values, ddof=1)) if n > 1 else math.nan
    half = half_width(sd, n, confidence, added_variance) if n >= LEAST_FOR_INTERVAL else math.nan
    return Estimate(n, mean, sd, mean - half, mean + half)


def half_width(sd: float, n: int, confidence: float = CONFIDENCE, added_variance: float = 0.0) -> float:
    """Half the width of Student's t interval of a mean of n values."""
    error, degrees = error_of_mean(sd, n, added_variance)
    return _quantile((1 + confidence) / 2, degrees) * error


@cache
def _quantile(probability: float, degrees: float) -> float:
    """Of Student's t. Cached: it is slow to compute, and the same for all that have as many seeds."""
    return float(stats.t.ppf(probability, degrees))


def summarise(rows: pd.DataFrame, value: str = "top1") -> pd.DataFrame:
    """One row per setting and competitor, over its cells that are ok and have a value; columns SUMMARY_COLUMNS.

    rows: from `comparable`. complete: every planned seed has a value. seeds: those with a value, as text ('0-2,5').
    """
    found = []
    statuses = rows["status"].to_numpy()
    for names, measured in measured_by(rows, (*SETTING, "regime", *COMPETITOR), value):
        counts = Counter(statuses[measured.places])
        found.append(
            (
                *names,
                len(measured.places),
                counts["ok"],
                sum(counts[s] for s in FAILED),
                sum(counts[s] for s in PENDING),
                counts["skipped"],
                measured.is_whole,
                seeds_text(measured.seeds.tolist()),
                *estimate(measured.values.tolist()),
            )
        )
    return pd.DataFrame(found, columns=list(SUMMARY_COLUMNS))


class Measured(NamedTuple):
    """The cells of one competitor in one setting.

    places: of all of them in the table. seeds, values: of those that are ok and have a value, ascending by seed.
    """

    places: npt.NDArray[np.int64]
    seeds: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]

    @property
    def is_whole(self) -> bool:
        """Whether every planned seed has a value."""
        return len(self.seeds) == len(self.places)


def measured_by(rows: pd.DataFrame, key: Sequence[str], value: str) -> Iterator[tuple[tuple[Hashable, ...], Measured]]:
    """By values of the key's columns, which tell competitors apart, in their order. ValueError for a seed that occurs
    twice.

    In arrays: thousands of frames of a few rows each take most of a report's time.
    """
    ok = ((rows["status"] == "ok") & rows[value].notna()).to_numpy(dtype=bool)
    seeds = rows["seed"].where(ok, 0).to_numpy(dtype=np.int64)
    values = rows[value].to_numpy(dtype=np.float64, na_value=np.nan)
    groups = cast("Mapping[tuple[str, ...], npt.NDArray[np.int64]]", rows.groupby(list(key)).indices)
    for names, places in sorted(groups.items()):
        own = places[ok[places]]
        own = own[np.argsort(seeds[own], kind="stable")]
        if (np.diff(seeds[own]) == 0).any():
            raise ValueError(f"one competitor has two values for a seed: {seeds_text(seeds[own].tolist())}")
        yield names, Measured(places, seeds[own], values[own])


def measurements(group: pd.DataFrame, value: str) -> pd.Series[float]:
    """The values of one competitor's ok cells by seed. ValueError when a seed occurs twice."""
    # In arrays: it is asked thousands of times, of a few rows.
    ok = (group["status"].to_numpy() == "ok") & group[value].notna().to_numpy()
    seeds, values = group["seed"].to_numpy()[ok].astype(int), group[value].to_numpy()[ok].astype(float)
    series = pd.Series(values, index=pd.Index(seeds, name="seed")).sort_index()
    if series.index.has_duplicates:
        raise ValueError(f"one competitor has two values for a seed: {seeds_text(series.index)}")
    return series
