"""Privacy budgets of what was released together."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kdharness.results.budgets import INFINITE, Budget


@dataclass(frozen=True)
class Release:
    """budget: of one student. mu: the same as Gaussian differential privacy; NaN where the mechanism is no Gaussian."""

    budget: Budget
    mu: float = math.nan


def together(releases: Iterable[Release]) -> Budget:
    """Of all of them, each about the same images, whoever was asked.

    Gaussian mechanisms with mu_i are together one with sqrt(sum mu_i^2) (Dong, Roth, Su, "Gaussian Differential
    Privacy", JRSS B 2022, corollary 3.3), stated at the largest of their deltas. Others add up, and so do their deltas.
    """
    spent = [release for release in releases if release.budget.epsilon]
    if any(release.budget.epsilon == math.inf for release in spent):
        return INFINITE
    gaussian = [release for release in spent if release.mu > 0 and release.budget.delta > 0]
    total = _gaussian(gaussian)
    for release in spent:
        if release not in gaussian:
            total += release.budget
    return total


def _gaussian(releases: Sequence[Release]) -> Budget:
    if not releases:
        return Budget()
    delta = max(release.budget.delta for release in releases)
    return Budget(epsilon_of(math.sqrt(sum(release.mu**2 for release in releases)), delta), delta)


def epsilon_of(mu: float, delta: float) -> float:
    """The epsilon of a mu-Gaussian mechanism at a delta: the least with
    Phi(mu / 2 - epsilon / mu) - e^epsilon Phi(-mu / 2 - epsilon / mu) <= delta (corollary 2.13 there).
    """
    from scipy.optimize import brentq
    from scipy.special import log_ndtr

    def excess(epsilon: float) -> float:
        first = math.exp(log_ndtr(mu / 2 - epsilon / mu))
        return first - math.exp(epsilon + log_ndtr(-mu / 2 - epsilon / mu)) - delta

    if excess(0.0) <= 0:
        return 0.0
    # Beyond it the first part alone is below delta.
    most = mu * mu / 2 + mu * math.sqrt(2 * math.log(1 / delta))
    return float(brentq(excess, 0.0, most, xtol=1e-10))
