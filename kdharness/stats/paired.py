"""Gains over a reference, paired by seed inside a setting, and what they amount to in words."""

from __future__ import annotations

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
from kdharness.stats.significance import ROUNDING, holm, sign_flip_p
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
    for family in families:
        base = family.place_of(reference)
        if base is not None:
            place: dict[Hashable, Any] = dict(zip(SETTING, family.setting, strict=True))
            found += [{**place, **row} for row in _against(family, base, equal_points)]
    frame = pd.DataFrame(found, columns=list(PAIRED_COLUMNS))
    return frame.astype({"n": int, "comparisons": "Int64", "seeds_needed": "Int64", "visible_difference": float})


def _against(family: Family, base: int, equal_points: float) -> Iterator[dict[Hashable, Any]]:
    names, values = family.competitors.names, family.competitors.values
    others = [i for i in range(len(names)) if i != base]
    common = [~np.isnan(values[i] - values[base]) for i in others]
    exact = [sign_flip_p((values[i] - values[base])[both].tolist()) for i, both in zip(others, common, strict=True)]
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
) -> int | None:
    """About how many more seeds would settle it if mean and spread stayed as they are; None for more than a thousand.

    tests: the comparisons corrected for, or one over this one's share of the correction. equal_level: of the interval
    that must lie within ± equal_points. added_variance: of the mean, which more seeds do not lessen. An estimate: from
    few seeds the spread itself is uncertain.
    """
    if gain.n < 2:
        return LEAST_FOR_INTERVAL - gain.n
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
