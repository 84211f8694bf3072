"""All comparisons of a setting, corrected together: what verdicts, rank intervals and ties are read from.

The family: every competitor against every reference, and all pairs of ranked competitors of one regime. Each is a
paired t test over the seeds in common. The correction is Holm's (1979) with weights, which holds the probability of
any false difference in a setting to 5 %. Weights are given by kind, before any value is seen: a large table has
thousands of pairs, and with equal weights nothing would be found against a reference.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from kdharness.protocol.claim import EQUAL_POINTS
from kdharness.stats.settings import COMPETITOR, SETTING
from kdharness.stats.significance import ROUNDING, weighted_holm
from kdharness.stats.summary import CONFIDENCE, LEAST_FOR_INTERVAL, measured_by

Values = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

ALPHA = 1 - CONFIDENCE
# The least that a kind has of the weight which the kinds before it leave.
LEAST_SHARE = (0.1, 0.5, 1.0)


class Kind(IntEnum):
    """What is compared: two references, a reference and another, two others."""

    REFERENCES = 0
    REFERENCE = 1
    OTHERS = 2


@dataclass(frozen=True, eq=False)
class Competitors:
    """The competitors of one setting.

    names: method and variant of each. regimes: likewise. ranked: whether every planned seed has a value.
    seeds: ascending. values: [competitors, seeds]; NaN where a seed has none.
    """

    names: tuple[tuple[str, str], ...]
    regimes: tuple[str, ...]
    ranked: tuple[bool, ...]
    seeds: Indices
    values: Values


@dataclass(frozen=True, eq=False)
class Comparisons:
    """Comparisons of competitors by number, left less right; arrays of one value for each.

    n: seeds in common. mean, sd: of the differences. low, high: the mean's 95 % interval, uncorrected.
    weight: its share of the family; NaN for what is no test. p: of Student's test, corrected; NaN likewise.
    equal: the interval lies inside the margin. apart: told apart. Never both.
    """

    left: Indices
    right: Indices
    n: Indices
    mean: Values
    sd: Values
    low: Values
    high: Values
    weight: Values
    p: Values
    equal: Flags
    apart: Flags

    @property
    def tests(self) -> int:
        """How many the correction counts."""
        return int(np.sum(~np.isnan(self.p)))

    def against(self, reference: int, competitor: int) -> tuple[int, float]:
        """Where the competitor is compared with a reference, and 1.0; -1.0 where it is the other way round."""
        straight = np.flatnonzero((self.left == competitor) & (self.right == reference))
        if len(straight):
            return int(straight[0]), 1.0
        return int(np.flatnonzero((self.left == reference) & (self.right == competitor))[0]), -1.0

    def found_better(self, count: int) -> Flags:
        """[count, count]: whether the first was found better than the second."""
        found = np.zeros((count, count), dtype=np.bool_)
        up, down = self.apart & (self.mean > 0), self.apart & (self.mean < 0)
        found[self.left[up], self.right[up]] = True
        found[self.right[down], self.left[down]] = True
        return found


@dataclass(frozen=True, eq=False)
class Family:
    """What is corrected together: a setting's key over SETTING, its competitors, and comparisons of them."""

    setting: tuple[Hashable, ...]
    competitors: Competitors
    comparisons: Comparisons

    def place_of(self, reference: str) -> int | None:
        """The number of the method with its defaults; None where it has no value."""
        if (reference, "") not in self.competitors.names:
            return None
        place = self.competitors.names.index((reference, ""))
        return None if np.isnan(self.competitors.values[place]).all() else place

    def found_better(self, names: Sequence[tuple[str, str]]) -> Flags:
        """[names, names]: whether the first of these competitors was found better than the second."""
        places = [self.competitors.names.index(name) for name in names]
        return self.comparisons.found_better(len(self.competitors.names))[np.ix_(places, places)]


def families(
    rows: pd.DataFrame, references: Sequence[str], value: str = "top1", equal_points: float = EQUAL_POINTS
) -> list[Family]:
    """One for each setting. rows: from `comparable`. references: methods, each with its defaults."""
    return [
        Family(key, competitors, _all(competitors, references, equal_points))
        for key, competitors in _competitors(rows, value)
    ]


def families_against(
    rows: pd.DataFrame, reference: str, value: str = "top1", equal_points: float = EQUAL_POINTS
) -> list[Family]:
    """Likewise of the comparisons with one reference alone, of equal weights; settings without it are left out."""
    found = []
    for key, competitors in _competitors(rows, value):
        if (reference, "") in competitors.names:
            base = competitors.names.index((reference, ""))
            others = np.delete(np.arange(len(competitors.names)), base)
            compared = compare(competitors.values, others, np.full(len(others), base), equal_points=equal_points)
            found.append(Family(key, competitors, compared))
    return found


def _competitors(rows: pd.DataFrame, value: str) -> Iterator[tuple[tuple[Hashable, ...], Competitors]]:
    regimes = rows["regime"].to_numpy()
    everyone = measured_by(rows, (*SETTING, *COMPETITOR), value)
    for setting, group in itertools.groupby(everyone, lambda each: each[0][: len(SETTING)]):
        keys, measured = zip(*group, strict=True)
        seeds = np.unique(np.concatenate([each.seeds for each in measured]))
        values = np.full((len(measured), len(seeds)), math.nan)
        for own, each in zip(values, measured, strict=True):
            own[np.searchsorted(seeds, each.seeds)] = each.values
        competitors = Competitors(
            names=tuple((str(method), str(variant)) for *_, method, variant in keys),
            regimes=tuple(str(regimes[each.places[0]]) for each in measured),
            ranked=tuple(each.is_whole for each in measured),
            seeds=seeds,
            values=values,
        )
        yield setting, competitors


def _all(competitors: Competitors, references: Sequence[str], equal_points: float) -> Comparisons:
    is_reference = np.array([method in references and not variant for method, variant in competitors.names])
    ranked, regimes = np.array(competitors.ranked), np.array(competitors.regimes)
    left, right = np.triu_indices(len(competitors.names), 1)
    kinds = Kind.OTHERS - is_reference[left].astype(int) - is_reference[right].astype(int)
    pairs = ranked[left] & ranked[right] & (regimes[left] == regimes[right])
    kept = (kinds < Kind.OTHERS) | pairs
    return compare(competitors.values, left[kept], right[kept], kinds[kept], equal_points)


def compare(
    values: Values, left: Indices, right: Indices, kinds: Indices | None = None, equal_points: float = EQUAL_POINTS
) -> Comparisons:
    """One family of comparisons between rows of [competitors, seeds]. kinds: of `Kind`; without, all weigh the same.

    Told apart are two whose corrected p is at most 0.05, from at least three seeds, and that are not practically equal.
    Differences that are all the same have no spread to judge by (accuracies come in steps): their p is 1, and they are
    equal from five seeds on, where the sign test's p is at most 0.05.
    """
    differences = values[left] - values[right]
    n = np.sum(~np.isnan(differences), axis=1)
    mean = np.nansum(differences, axis=1) / np.where(n, n, math.nan)
    squares = np.nansum((differences - mean[:, None]) ** 2, axis=1)
    sd = np.sqrt(squares / np.where(n > 1, n - 1, math.nan))
    half = t_quantiles(np.full(len(n), ALPHA), n) * sd / np.sqrt(np.where(n, n, math.nan))
    low, high = mean - half, mean + half
    tested = n > 1
    weight = np.full(len(n), math.nan)
    weight[tested] = weights_of(np.full(len(n), Kind.OTHERS)[tested] if kinds is None else kinds[tested])
    p = weighted_holm(_p_values(mean, sd, n), weight)
    equal = (-equal_points <= low + ROUNDING) & (high - ROUNDING <= equal_points)
    equal &= (sd >= ROUNDING) | (0.5**n <= ALPHA)
    apart = (n >= LEAST_FOR_INTERVAL) & (p <= ALPHA) & (sd >= ROUNDING) & ~equal
    return Comparisons(left, right, n, mean, sd, low, high, weight, p, equal, apart)


def _p_values(mean: Values, sd: Values, n: Indices) -> Values:
    """Two-sided, of Student's paired test; NaN below two seeds."""
    spread = sd >= ROUNDING
    t = np.abs(mean) / np.where(spread, sd / np.sqrt(np.where(n, n, 1)), 1.0)
    p = np.where(spread, 2 * stats.t.sf(t, np.maximum(n - 1, 1)), 1.0)
    return np.where(n > 1, p, math.nan)


def t_quantiles(levels: Values, n: Indices) -> Values:
    """How many standard errors a two-sided t test of n values asks for at these levels; NaN below three values."""
    found = np.full(len(n), math.nan)
    enough = n >= LEAST_FOR_INTERVAL
    distinct, places = np.unique(np.stack([levels[enough], n[enough] - 1.0]), axis=1, return_inverse=True)
    found[enough] = stats.t.isf(distinct[0] / 2, distinct[1])[places.reshape(-1)]
    return found


def weights_of(kinds: Indices) -> Values:
    """The share of each test in the family; they sum to 1.

    Those between references have a tenth, those with a reference half of the rest, others what is left; a kind has more
    where equal weights would give it more, and what a kind that is absent would have goes to the next. So a small
    family has equal weights.
    """
    counts = [int(np.sum(kinds == kind)) for kind in Kind]
    weights, rest = np.zeros(len(kinds)), 1.0
    for kind in Kind:
        if counts[kind]:
            share = rest * max(LEAST_SHARE[kind] if any(counts[kind + 1 :]) else 1.0, counts[kind] / sum(counts[kind:]))
            weights[kinds == kind] = share / counts[kind]
            rest -= share
    return weights
