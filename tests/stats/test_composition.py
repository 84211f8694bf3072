"""Budgets of several releases."""

from __future__ import annotations

import math

import pytest
from kdharness_plugins.methods._privacy import gaussian_epsilon

from kdharness.results.budgets import Budget
from kdharness.stats.composition import Release, epsilon_of, together


@pytest.mark.parametrize(
    ("sigma", "releases", "delta", "epsilon"),
    [
        (10.0, 608, 1e-5, 12.9787),
        (10.0, 5 * 608, 1e-5, 37.9765),
        (71.0, 30_400, 1e-5, 12.9120),
        (5.0, 1000, 1e-6, 49.3193),
        (1.0, 1, 1e-5, 4.3772),
    ],
)
def test_gaussian_budgets(sigma: float, releases: int, delta: float, epsilon: float) -> None:
    """By hand, in 60 digits; the methods' own accounting gives the same."""
    found = epsilon_of(math.sqrt(releases) / sigma, delta)
    assert found == pytest.approx(epsilon, abs=1e-4)
    assert found == pytest.approx(gaussian_epsilon(sigma, releases, delta), abs=1e-3)


def test_the_ends() -> None:
    assert epsilon_of(1e-9, 1e-5) == 0
    assert 4_500_000 < epsilon_of(3000.0, 1e-5) < 4_520_000


def test_gaussians_compose_by_their_squares_and_others_add_up() -> None:
    three, four = Release(Budget(2.0, 1e-5), mu=0.3), Release(Budget(3.0, 1e-6), mu=0.4)
    other, nothing = Release(Budget(1.0, 1e-7)), Release(Budget())
    assert together([three, four, nothing]) == Budget(epsilon_of(0.5, 1e-5), 1e-5)
    both = together([three, other])
    assert both.epsilon == pytest.approx(1 + epsilon_of(0.3, 1e-5))
    assert both.delta == pytest.approx(1e-5 + 1e-7)
    assert together([three, Release(Budget(math.inf))]).epsilon == math.inf
    assert together([nothing, nothing]) == together([]) == Budget()
