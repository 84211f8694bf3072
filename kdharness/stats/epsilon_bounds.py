"""A lower bound on epsilon, from guesses who is a member where membership is a coin.

Steinke, Nasr, Jagielski, "Privacy Auditing with One (1) Training Run", NeurIPS 2023. Let m coins be tossed, and let
what is released be (epsilon, delta) private for each. An attacker looks at it and guesses r of them, v rightly. Their
main theorem for approximate privacy: with W distributed as Binomial(r, e^epsilon / (1 + e^epsilon)),

    P[at least v are right] <= P[W >= v] + 2 m delta max_i P[v > W >= v - i] / i,   i = 1 ... m.

The largest epsilon for which the right side is below 5 % is exceeded by the truth with 95 % confidence. Who is guessed
must not depend on the coins, but through what was released.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from kdharness.stats.summary import CONFIDENCE

# Shares of the coins that are guessed: the surest on both sides. The best counts, at a level for all together.
SHARES = (1.0, 0.5, 0.2, 0.05)
LARGEST = 64.0


@dataclass(frozen=True)
class Bound:
    """coins: m. guesses: r. right: v. epsilon: at least this, with 95 % confidence. delta: with this delta.

    tries: out of how many ways to guess this is the best.
    """

    coins: int
    guesses: int
    right: int
    epsilon: float
    delta: float
    tries: int = 1

    def p(self, epsilon: float) -> float:
        """How probable so many right guesses are at most in one of the tries, if what was released has this epsilon."""
        return min(1.0, self.tries * probability(self.guesses, self.right, self.coins, epsilon, self.delta))


def best_bound(scores: Sequence[NDArray[np.float64]], members: NDArray[np.bool_], delta: float) -> Bound | None:
    """The best of what is guessed: the largest scores as members, as many of the smallest as others.

    scores: each [m], a way to be sure; each is tried with all SHARES. members: [m]. None without coins.
    """
    if not len(members):
        return None
    ways = [(np.argsort(-each, kind="stable"), share) for each in scores for share in SHARES]
    level, coins, found = (1 - CONFIDENCE) / len(ways), len(members), []
    for order, share in ways:
        side = int(share * coins / 2)
        right = int(members[order[:side]].sum() + (~members[order[coins - side :]]).sum())
        bound = lower_bound(2 * side, right, coins, delta, level)
        found.append(Bound(coins, 2 * side, right, bound, delta, len(ways)))
    return max(found, key=lambda bound: bound.epsilon)


def lower_bound(guesses: int, right: int, coins: int, delta: float, level: float = 1 - CONFIDENCE) -> float:
    """The largest epsilon that so many right guesses refute; 0 where they refute none."""
    low, high = 0.0, LARGEST
    if probability(guesses, right, coins, low, delta) >= level:
        return 0.0
    while high - low > 1e-9:
        middle = (low + high) / 2
        low, high = (middle, high) if probability(guesses, right, coins, middle, delta) < level else (low, middle)
    return low


def probability(guesses: int, right: int, coins: int, epsilon: float, delta: float) -> float:
    """At most this is the probability of so many right guesses, or more, under (epsilon, delta) privacy."""
    chance = 1 / (1 + math.exp(-epsilon))
    tail = float(stats.binom.sf(right - 1, guesses, chance))
    if not delta or not right:
        return min(1.0, tail)
    below = np.cumsum(stats.binom.pmf(np.arange(right - 1, -1, -1), guesses, chance))
    steepest = float((below / np.arange(1, right + 1)).max())
    return min(1.0, tail + 2 * coins * delta * steepest)
