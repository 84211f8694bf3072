"""Gains over a reference, paired by seed inside a setting, and what they amount to in words."""

from __future__ import annotations

import itertools
import math
from collections.abc import Hashable, Iterable, Iterator, Sequence
from enum import StrEnum
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from kdharness.protocol.claim import EQUAL_POINTS
from kdharness.stats.comparisons import ALPHA, Comparisons, Family, Values, families_against, t_quantiles
from kdharness.stats.settings import COMPETITOR, SETTING
from kdharness.stats.significance import ROUNDING, holm, sign_flip_ps
from kdharness.stats.summary import CONFIDENCE, LEAST_FOR_INTERVAL, Estimate
from kdharness.text import seeds_text

MOST_SEEDS = 1000

PAIRED_COLUMNS = (
    *SETTING, *COMPETITOR, "n", "seeds", "gain", "sd", "ci_low", "ci_high", "p", "p_holm", "t_p_holm",
    "comparisons", "correlation", "verdict", "seeds_needed", "visible_difference",
)  # fmt: skip


class Verdict(StrEnum):
    """What a gain amounts to. NONE: nothing was compared."""

    BETTER = "better"
    WORSE = "worse"
    EQUAL = "practically equal"
    UNDECIDED = "undecided"
    NONE = ""


def paired(rows: pd.DataFrame, reference: str, value: str = "top1", equal_points: float = EQUAL_POINTS) -> pd.DataFrame:
    """Every competitor against the reference (with its defaults) in each setting that has it, corrected over these
    comparisons alone; columns PAIRED_COLUMNS. rows: from `comparable`.
    """
    return gains_over(reference, families_against(rows, reference, value, equal_points), equal_points)


def gains_over(reference: str, families: Iterable[Family], equal_points: float = EQUAL_POINTS) -> pd.DataFrame:
    """Every competitor against one of the references of these families; columns PAIRED_COLUMNS.

    n, seeds: the seeds both have; nothing else enters. p is the sign-flip test's, p_holm corrected over the setting's
    comparisons with this reference. t_p_holm is Student's, corrected over the family; comparisons: how many that
    counts; empty where there is no p. visible_difference: see there.
    """
    found: list[dict[Hashable, Any]] = []
    based = [(family, base) for family in families if (base := family.place_of(reference)) is not None]
    # Of all settings together: those of as many seeds share their patterns of signs.
    exact = iter(sign_flip_ps([each for family, base in based for each in _differences(family, base)]))
    for family, base in based:
        place: dict[Hashable, Any] = dict(zip(SETTING, family.setting, strict=True))
        own = list(itertools.islice(exact, len(family.competitors.names) - 1))
        found += [{**place, **row} for row in _against(family, base, own, equal_points)]
    frame = pd.DataFrame(found, columns=list(PAIRED_COLUMNS))
    return frame.astype({"n": int, "comparisons": "Int64", "seeds_needed": "Int64", "visible_difference": float})


def _others(family: Family, base: int) -> list[int]:
    return [place for place in range(len(family.competitors.names)) if place != base]


def _differences(family: Family, base: int) -> Iterator[list[float]]:
    """Of each other competitor, over the seeds that both have."""
    for place in _others(family, base):
        gains = family.competitors.values[place] - family.competitors.values[base]
        yield gains[~np.isnan(gains)].tolist()


def _against(family: Family, base: int, exact: Sequence[float], equal_points: float) -> Iterator[dict[Hashable, Any]]:
    """exact: p of each other competitor."""
    names, values, others = family.competitors.names, family.competitors.values, _others(family, base)
    common = [~np.isnan(values[i] - values[base]) for i in others]
    visible = visible_differences(family.comparisons, equal_points)
    for i, both, p, p_holm in zip(others, common, exact, holm(exact), strict=True):
        at, sign = family.comparisons.against(base, i)
        yield {
            "method": names[i][0], "variant": names[i][1], "seeds": seeds_text(family.competitors.seeds[both].tolist()),
            "p": p, "p_holm": p_holm, "correlation": correlation(values[i][both].tolist(), values[base][both].tolist()),
            "visible_difference": float(visible[at]), **_compared(family.comparisons, at, sign, equal_points),
        }  # fmt: skip


def _compared(made: Comparisons, at: int, sign: float, equal_points: float) -> dict[Hashable, Any]:
    """What one comparison says. sign: -1.0 where it was made the other way round."""
    low, high = sorted((sign * float(made.low[at]) + 0.0, sign * float(made.high[at]) + 0.0))
    # The sum makes zero of its negative.
    gain = Estimate(int(made.n[at]), sign * float(made.mean[at]) + 0.0, float(made.sd[at]), low, high)
    word = _verdict(made, at, gain.mean)
    is_test = not math.isnan(made.p[at])
    tests = 1 / float(made.weight[at]) if is_test else 1.0
    return {
        "n": gain.n, "gain": gain.mean, "sd": gain.sd, "ci_low": gain.ci_low, "ci_high": gain.ci_high,
        "t_p_holm": float(made.p[at]), "comparisons": made.tests if is_test else None, "verdict": word.value,
        "seeds_needed": seeds_needed(gain, equal_points, tests) if word is Verdict.UNDECIDED else None,
    }  # fmt: skip


def _verdict(made: Comparisons, at: int, gain: float) -> Verdict:
    if made.apart[at]:
        return Verdict.BETTER if gain > 0 else Verdict.WORSE
    return Verdict.EQUAL if made.equal[at] else Verdict.UNDECIDED if made.n[at] else Verdict.NONE


def visible_differences(made: Comparisons, equal_points: float = EQUAL_POINTS) -> Values:
    """In points, the least difference that would be told apart with these seeds, were the spread what it is and no
    other comparison clear; NaN below three seeds and without spread.
    """
    error = np.where(made.sd >= ROUNDING, made.sd, math.nan) / np.sqrt(np.maximum(made.n, 1))
    clear = t_quantiles(ALPHA * made.weight, made.n) * error
    # Nor may its interval lie inside the margin.
    return np.maximum(clear, equal_points - t_quantiles(np.full(len(clear), ALPHA), made.n) * error)


def seeds_needed(
    gain: Estimate,
    equal_points: float = EQUAL_POINTS,
    tests: float = 1,
    equal_level: float = CONFIDENCE,
    added_variance: float = 0.0,
    same_level: float = ALPHA,
) -> int | None:
    """About how many more seeds would settle it if mean and spread stayed as they are; None for more than a thousand.

    tests: the comparisons corrected for, or one over this one's share of the correction. equal_level: of the interval
    that must lie within ± equal_points. added_variance: of the mean, which more seeds do not lessen. same_level: what
    `same_p` must reach where there is no spread. An estimate: from few seeds the spread itself is uncertain.
    """
    if gain.n < 2:
        return LEAST_FOR_INTERVAL - gain.n
    if gain.sd < ROUNDING and not added_variance:
        enough_same = math.ceil(math.log2(1 / same_level) - ROUNDING)
        return max(enough_same - gain.n, 1) if abs(gain.mean) <= equal_points + ROUNDING else None
    n = np.arange(max(gain.n + 1, LEAST_FOR_INTERVAL), MOST_SEEDS + 1)
    error = np.sqrt(gain.sd**2 / n + added_variance)
    clear = _quantiles(1 - ALPHA / (2 * max(tests, 1)))[-len(n) :] * error < abs(gain.mean)
    equal = _quantiles((1 + equal_level) / 2)[-len(n) :] * error <= equal_points - abs(gain.mean)
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
