"""Mean ranks over settings: how many settings a test takes, and who cannot be told apart.

Demsar, "Statistical comparisons of classifiers over multiple data sets", JMLR 2006. Of k competitors on N settings:

- Friedman's test, by Iman and Davenport's F, says whether there is any difference.
- The critical difference of two mean ranks is CD = q sqrt(k (k + 1) / (6 N)), q Nemenyi's: the 0.95 quantile of the
  studentised range over sqrt 2.
- Wilcoxon's signed-rank test of each pair, corrected by Holm's method (Benavoli, Corani, Mangili, JMLR 2016: unlike
  Nemenyi's, it does not depend on who else is in the table). Its smallest p of N settings is 2 / 2^N, which m tests
  can reject at 0.05 from N = log2(2 m / 0.05) on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations

import numpy as np
import numpy.typing as npt
from scipy import stats

from kdharness.stats.significance import holm
from kdharness.stats.summary import CONFIDENCE

Values = npt.NDArray[np.float64]


def settings_needed(tests: int) -> int:
    """How many settings it takes until the first of so many tests can be rejected."""
    return math.ceil(math.log2(2 * tests / (1 - CONFIDENCE)) - 1e-9)


def pairs_of(competitors: int) -> int:
    return competitors * (competitors - 1) // 2


@cache
def critical_difference(competitors: int, settings: int) -> float:
    """Nemenyi's, in mean ranks."""
    q = float(stats.studentized_range.ppf(CONFIDENCE, competitors, math.inf)) / math.sqrt(2)
    return q * math.sqrt(competitors * (competitors + 1) / (6 * settings))


@dataclass(frozen=True)
class RankTest:
    """friedman_p: of Iman and Davenport's F. critical_difference: Nemenyi's. p_holm: [k, k], of Wilcoxon's tests.
    cliques: places of competitors, best mean rank first, that stand next to each other and of which no two are told
    apart; none within another.
    """

    friedman_p: float
    critical_difference: float
    p_holm: Values
    cliques: tuple[tuple[int, ...], ...]


def rank_test(means: Values) -> RankTest:
    """means: [settings, competitors], larger is better. ValueError below `settings_needed` settings."""
    settings, competitors = means.shape
    if settings < settings_needed(pairs_of(competitors)):
        raise ValueError(f"{settings} settings are too few for {competitors} competitors")
    ranks = stats.rankdata(-means, axis=1)
    order = np.argsort(ranks.mean(axis=0), kind="stable")
    p_holm = _wilcoxon(means)
    return RankTest(
        _iman_davenport(ranks), critical_difference(competitors, settings), p_holm, _cliques(p_holm, order.tolist())
    )


def _iman_davenport(ranks: Values) -> float:
    """p; 0 where all settings give the same order."""
    n, k = ranks.shape
    means = ranks.mean(axis=0)
    chi2 = 12 * n / (k * (k + 1)) * float(((means - (k + 1) / 2) ** 2).sum())
    left = n * (k - 1) - chi2
    return float(stats.f.sf((n - 1) * chi2 / left, k - 1, (k - 1) * (n - 1))) if left > 1e-9 else 0.0


def _wilcoxon(means: Values) -> Values:
    """[k, k]: exact and two-sided where no difference is 0 and no two are equal; 1 for equal competitors."""
    pairs = list(combinations(range(means.shape[1]), 2))
    differences = [means[:, a] - means[:, b] for a, b in pairs]
    corrected = holm([float(stats.wilcoxon(d).pvalue) if np.any(d) else 1.0 for d in differences])
    found = np.ones((means.shape[1], means.shape[1]))
    for (a, b), p in zip(pairs, corrected, strict=True):
        found[a, b] = found[b, a] = p
    return found


def _cliques(p_holm: Values, order: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    found: list[tuple[int, ...]] = []
    reach = 0
    for first in range(len(order)):
        last = first
        while last + 1 < len(order) and all(p_holm[order[last + 1], other] > 0.05 for other in order[first : last + 1]):
            last += 1
        if last > first and last + 1 > reach:
            found.append(tuple(order[first : last + 1]))
            reach = last + 1
    return tuple(found)


# -- performance profiles ----------------------------------------------------------------------------------------------


def profile(regret: Values, within: Sequence[float]) -> Values:
    """[within, competitors]: the share of blocks in which a competitor is so near to the best.

    Agarwal, Schwarzer, Castro, Courville, Bellemare, "Deep reinforcement learning at the edge of the statistical
    precipice", NeurIPS 2021, section 4.3, of the distance to a block's best in place of a normalised score.
    regret: [blocks, competitors].
    """
    return np.array([(regret <= distance + 1e-9).mean(axis=0) for distance in within])
