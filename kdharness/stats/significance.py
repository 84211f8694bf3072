"""Tests of paired differences, and the correction for many of them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import stats

MOST_ENUMERATED = 16
DRAWS = 100_000
# Differences that lie closer together than this are the same, but for rounding.
ROUNDING = 1e-9


def sign_flip_p(differences: Sequence[float], seed: int = 0) -> float:
    """Two-sided p of the mean under random signs; NaN for no differences.

    Exact over all 2^n signs up to n = 16; beyond that from random signs (of the given seed) and the observed ones.
    """
    values = np.asarray(differences, dtype=float)
    n = len(values)
    if n == 0:
        return math.nan
    observed = abs(values.sum())
    least = observed - 1e-9 * max(1.0, np.abs(values).sum())  # sums that differ by rounding alone are equal
    if n <= MOST_ENUMERATED:
        # A sign pattern and its opposite are equally extreme: half of them suffice.
        return float(np.mean(np.abs(values[0] + _all_signs(n - 1) @ values[1:]) >= least))
    extreme = np.sum(np.abs(_random_signs(n, DRAWS, seed) @ values) >= least)
    return float((1 + extreme) / (1 + DRAWS))


# Reports compare many competitors over the same seeds: their patterns are made once. Beyond enumeration they are large.


@lru_cache(maxsize=MOST_ENUMERATED)
def _all_signs(n: int) -> npt.NDArray[np.float64]:
    """[2^n, n]: every pattern once."""
    return np.array(list(itertools.product((1.0, -1.0), repeat=n))).reshape(2**n, n)


@lru_cache(maxsize=1)
def _random_signs(n: int, draws: int, seed: int) -> npt.NDArray[np.float64]:
    """[draws, n]."""
    drawn = np.random.default_rng(seed).integers(0, 2, size=(draws, n), dtype=np.int8)
    return drawn.astype(np.float64) * 2 - 1


def t_p(differences: Sequence[float], added_variance: float = 0.0) -> float:
    """Two-sided p of Student's paired test; NaN below two differences.

    added_variance: of the mean, from what more differences would not lessen.
    """
    n = len(differences)
    if n < 2:
        return math.nan
    mean, sd = float(np.mean(differences)), float(np.std(differences, ddof=1))
    error, degrees = error_of_mean(sd, n, added_variance)
    if error == 0:
        return 1.0 if mean == 0 else 0.0
    return float(2 * stats.t.sf(abs(mean) / error, degrees))


def error_of_mean(sd: float, n: int, added_variance: float = 0.0) -> tuple[float, float]:
    """Standard error of the mean of n values, and its degrees of freedom by Welch and Satterthwaite.

    added_variance: of the mean, as if known exactly; sd**2 / n stands beside it.
    """
    own = sd**2 / n
    if not added_variance:
        return math.sqrt(own), n - 1
    total = own + added_variance
    return math.sqrt(total), (n - 1) * (total / own) ** 2 if own else math.inf


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values in the order given; NaN stays NaN and does not count as a test."""
    tested = sorted((p, i) for i, p in enumerate(p_values) if not math.isnan(p))
    adjusted = [math.nan] * len(p_values)
    highest = 0.0
    for rank, (p, i) in enumerate(tested):
        highest = max(highest, min(1.0, (len(tested) - rank) * p))
        adjusted[i] = highest
    return adjusted


def weighted_holm(p_values: npt.NDArray[np.float64], weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Holm's (1979) adjusted p-values where tests have weights: the smallest p / weight first, each times the sum of
    the weights not yet gone through. NaN stays NaN, whatever it weighs; with equal weights as `holm`.
    """
    adjusted = np.full(len(p_values), math.nan)
    tested = np.flatnonzero(~np.isnan(p_values))
    order = tested[np.argsort(p_values[tested] / weights[tested], kind="stable")]
    # Summed from the far end: the last one's is its own weight, not what rounding leaves of all.
    left = np.cumsum(weights[order][::-1])[::-1]
    adjusted[order] = np.maximum.accumulate(np.minimum(1.0, p_values[order] / weights[order] * left))
    return adjusted
