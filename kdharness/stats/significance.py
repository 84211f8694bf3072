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
PIECE = 4096  # patterns of signs at a time
# Differences that lie closer together than this are the same, but for rounding.
ROUNDING = 1e-9


def sign_flip_p(differences: Sequence[float], seed: int = 0) -> float:
    """Two-sided p of the mean under random signs; NaN for no differences.

    Exact over all 2^n signs up to n = 16; beyond that from random signs (of the given seed) and the observed ones.
    """
    return sign_flip_ps([differences], seed)[0]


def sign_flip_ps(family: Sequence[Sequence[float]], seed: int = 0) -> list[float]:
    """Likewise of each of many; those of one length are held against the same signs, which are made once."""
    found = [math.nan] * len(family)
    by_length: dict[int, list[int]] = {}
    for place, differences in enumerate(family):
        by_length.setdefault(len(differences), []).append(place)
    for n, places in by_length.items():
        if n:
            values = np.array([family[place] for place in places], dtype=float)
            for place, p in zip(places, _flipped(values, seed), strict=True):
                found[place] = float(p)
    return found


def _flipped(values: npt.NDArray[np.float64], seed: int) -> npt.NDArray[np.float64]:
    """Of each row of [k, n]."""
    n, observed = values.shape[1], np.abs(values.sum(axis=1))
    # Sums that differ by rounding alone are equal.
    least = observed - 1e-9 * np.maximum(1.0, np.abs(values).sum(axis=1))
    if n <= MOST_ENUMERATED:
        return np.asarray(_extreme(values, _half_of_all_signs(n), least) / 2 ** (n - 1))
    return np.asarray((1 + _extreme(values, _random_signs(n, DRAWS, seed), least)) / (1 + DRAWS))


def _extreme(
    values: npt.NDArray[np.float64], signs: npt.NDArray[np.int8], least: npt.NDArray[np.float64]
) -> npt.NDArray[np.int64]:
    """Under how many of these signs each row's sum is at least so large. In pieces, so that memory stays small."""
    found = np.zeros(len(values), dtype=np.int64)
    for start in range(0, len(signs), PIECE):
        sums = values @ signs[start : start + PIECE].T.astype(np.float64)
        found += (np.abs(sums) >= least[:, None]).sum(axis=1)
    return found


# Reports compare many competitors over the same seeds: their patterns are made once. Beyond enumeration they are large.


@lru_cache(maxsize=MOST_ENUMERATED)
def _half_of_all_signs(n: int) -> npt.NDArray[np.int8]:
    """[2^(n - 1), n]: every pattern that begins with +. Its opposite is as extreme."""
    patterns = [(1, *rest) for rest in itertools.product((1, -1), repeat=n - 1)]
    return np.array(patterns, dtype=np.int8)


@lru_cache(maxsize=1)
def _random_signs(n: int, draws: int, seed: int) -> npt.NDArray[np.int8]:
    """[draws, n]."""
    return np.random.default_rng(seed).integers(0, 2, size=(draws, n), dtype=np.int8) * 2 - 1


def t_p(differences: Sequence[float], added_variance: float = 0.0) -> float:
    """Two-sided p of Student's paired test; NaN below two differences. Differences that are all the same have no spread
    to judge by (accuracies come in steps): 1.

    added_variance: of the mean, from what more differences would not lessen.
    """
    n = len(differences)
    if n < 2:
        return math.nan
    mean, sd = float(np.mean(differences)), float(np.std(differences, ddof=1))
    if sd < ROUNDING and not added_variance:
        return 1.0
    error, degrees = error_of_mean(sd, n, added_variance)
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


def same_p(n: int) -> float:
    """p of n differences that are all the same and inside a margin, if their median lay beyond it: by the sign test,
    for each would be on this side of the margin with probability 1 / 2 at most.
    """
    return float(0.5**n)


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
