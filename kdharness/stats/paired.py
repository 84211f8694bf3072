"""Gains over a reference, paired by seed inside a setting, and what they amount to in words."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from enum import StrEnum
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from kdharness.protocol.claim import EQUAL_POINTS
from kdharness.stats.settings import COMPETITOR, SETTING
from kdharness.stats.significance import holm, sign_flip_p, t_p
from kdharness.stats.summary import CONFIDENCE, LEAST_FOR_INTERVAL, OF_CELL, Estimate, estimate, measurements
from kdharness.text import seeds_text

Values = npt.NDArray[np.float64]

MOST_SEEDS = 1000
ROUNDING = 1e-9

PAIRED_COLUMNS = (
    *SETTING, *COMPETITOR, "n", "seeds", "gain", "sd", "ci_low", "ci_high", "p", "p_holm", "t_p_holm",
    "comparisons", "correlation", "verdict", "seeds_needed",
)  # fmt: skip


class Verdict(StrEnum):
    """What a gain amounts to. NONE: nothing was compared."""

    BETTER = "better"
    WORSE = "worse"
    EQUAL = "practically equal"
    UNDECIDED = "undecided"
    NONE = ""


def paired(rows: pd.DataFrame, reference: str, value: str = "top1", equal_points: float = EQUAL_POINTS) -> pd.DataFrame:
    """Every competitor against the reference (with its defaults) in each setting that has it; columns PAIRED_COLUMNS.

    rows: from `comparable`. n, seeds: the seeds both have; nothing else enters. p is the sign-flip test's; both p_holm
    columns are corrected over the setting's competitors. comparisons: how many t_p_holm is corrected over; empty where
    it is.
    """
    found: list[dict[Hashable, Any]] = []
    for names, setting in rows[[*SETTING, *COMPETITOR, *OF_CELL, value]].groupby(list(SETTING)):
        place: dict[Hashable, Any] = dict(zip(SETTING, names, strict=True))
        base = measurements(setting[(setting["method"] == reference) & (setting["variant"] == "")], value)
        if len(base):
            found += [{**place, **row} for row in _against(base, setting, reference, value, equal_points)]
    frame = pd.DataFrame(found, columns=list(PAIRED_COLUMNS))
    return frame.astype({"n": int, "comparisons": "Int64", "seeds_needed": "Int64"})


def _against(
    base: pd.Series[float], setting: pd.DataFrame, reference: str, value: str, equal_points: float
) -> list[dict[Hashable, Any]]:
    compared = []
    for names, group in setting.groupby(list(COMPETITOR)):
        if names != (reference, ""):
            compared.append((names, *_in_common(measurements(group, value), base)))
    differences = [(ours - theirs).tolist() for _, _, ours, theirs in compared]
    exact = [sign_flip_p(d) for d in differences]
    exact_holm, student_holm = holm(exact), holm([t_p(d) for d in differences])
    tests = sum(len(d) > 1 for d in differences)
    rows: list[dict[Hashable, Any]] = []
    for i, ((method, variant), seeds, ours, theirs) in enumerate(compared):
        gain = estimate(differences[i])
        word = verdict(gain, student_holm[i], equal_points)
        more = seeds_needed(gain, equal_points, tests) if word is Verdict.UNDECIDED else None
        rows.append(
            {
                "method": method, "variant": variant, "n": gain.n, "seeds": seeds_text(seeds), "gain": gain.mean,
                "sd": gain.sd, "ci_low": gain.ci_low, "ci_high": gain.ci_high, "p": exact[i], "p_holm": exact_holm[i],
                "t_p_holm": student_holm[i], "comparisons": None if math.isnan(student_holm[i]) else tests,
                "correlation": correlation(ours.tolist(), theirs.tolist()), "verdict": word.value,
                "seeds_needed": more,
            }
        )  # fmt: skip
    return rows


def _in_common(ours: pd.Series[float], base: pd.Series[float]) -> tuple[list[int], Values, Values]:
    """The seeds that both have, and the values of each."""
    seeds, left, right = np.intersect1d(ours.index, base.index, assume_unique=True, return_indices=True)
    return seeds.tolist(), np.asarray(ours, dtype=np.float64)[left], np.asarray(base, dtype=np.float64)[right]


def verdict(gain: Estimate, t_p_holm: float, equal_points: float = EQUAL_POINTS) -> Verdict:
    """In words: practically equal when the interval lies inside ± equal_points; better or worse when it is clear of
    zero and stays so after Holm's correction; else undecided.

    t_p_holm: of Student's test, for with few seeds the sign-flip test cannot reject. Differences that are all the same,
    but not zero, have no spread to judge by (accuracies come in steps): undecided.
    """
    if gain.n == 0:
        return Verdict.NONE
    if gain.n < LEAST_FOR_INTERVAL:
        return Verdict.UNDECIDED
    if -equal_points <= gain.ci_low and gain.ci_high <= equal_points:
        return Verdict.EQUAL
    if gain.sd < ROUNDING:
        return Verdict.UNDECIDED
    if t_p_holm <= 1 - CONFIDENCE and not gain.ci_low <= 0 <= gain.ci_high:
        return Verdict.BETTER if gain.mean > 0 else Verdict.WORSE
    return Verdict.UNDECIDED


def seeds_needed(
    gain: Estimate,
    equal_points: float = EQUAL_POINTS,
    tests: int = 1,
    equal_tests: int = 1,
    added_variance: float = 0.0,
) -> int | None:
    """About how many more seeds would settle it if mean and spread stayed as they are; None for more than a thousand.

    tests: the comparisons corrected for. equal_tests: likewise, where they are found equal. added_variance: of the
    mean, which more seeds do not lessen. An estimate: from few seeds the spread itself is uncertain.
    """
    if gain.n < 2:
        return LEAST_FOR_INTERVAL - gain.n
    n = np.arange(max(gain.n + 1, LEAST_FOR_INTERVAL), MOST_SEEDS + 1)
    error = np.sqrt(gain.sd**2 / n + added_variance)
    alpha = 1 - CONFIDENCE
    clear = _quantiles(1 - alpha / (2 * max(tests, 1)))[-len(n) :] * error < abs(gain.mean)
    equal = _quantiles(1 - alpha / (2 * max(equal_tests, 1)))[-len(n) :] * error <= equal_points - abs(gain.mean)
    enough = n[clear | equal]
    return int(enough[0]) - gain.n if len(enough) else None


@lru_cache(maxsize=64)
def _quantiles(probability: float) -> Values:
    """Quantiles of Student's t for LEAST_FOR_INTERVAL to MOST_SEEDS seeds."""
    return np.asarray(stats.t.ppf(probability, np.arange(LEAST_FOR_INTERVAL, MOST_SEEDS + 1) - 1))


def correlation(ours: Sequence[float], base: Sequence[float]) -> float:
    """Pearson's, between runs of the same seeds; NaN below three or without spread."""
    if len(ours) < LEAST_FOR_INTERVAL or math.isclose(np.ptp(ours), 0) or math.isclose(np.ptp(base), 0):
        return math.nan
    return float(np.corrcoef(ours, base)[0, 1])
