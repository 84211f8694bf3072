"""Two one-sided tests."""

from __future__ import annotations

import math

import pytest
from scipy import stats

from kdharness.stats.equivalence import equal_p
from kdharness.stats.summary import Estimate, estimate


def test_the_larger_of_both_tests_by_hand() -> None:
    # Differences 0.1, 0.0, -0.1, 0.2: mean 0.05, sd 0.129099, standard error 0.0645497; (0.2 - 0.05) / 0.0645497 =
    # 2.323790, of which Student's tail with 3 degrees of freedom is 0.05137.
    assert equal_p(estimate([0.1, 0.0, -0.1, 0.2]), 0.2) == pytest.approx(0.05137, abs=2e-5)


@pytest.mark.parametrize("values", [[0.1, 0.0, -0.1, 0.2], [-0.3, 0.1, -0.1], [1.0, 1.4, 0.9, 1.2, 1.1]])
def test_it_is_the_larger_p_of_two_one_sided_tests(values: list[float]) -> None:
    above = stats.ttest_1samp(values, -0.2, alternative="greater").pvalue
    below = stats.ttest_1samp(values, 0.2, alternative="less").pvalue
    assert equal_p(estimate(values), 0.2) == pytest.approx(max(above, below))


def test_it_rejects_where_the_90_percent_interval_touches_the_margin() -> None:
    gain = estimate([0.02, 0.06, -0.01, 0.05, 0.03])
    ninety = estimate([0.02, 0.06, -0.01, 0.05, 0.03], confidence=0.9)
    assert equal_p(gain, ninety.ci_high) == pytest.approx(0.05)


def test_without_spread_or_margin() -> None:
    assert equal_p(estimate([0.0, 0.0, 0.0]), 0.2) == 0.125  # as three signs of one kind
    assert equal_p(estimate([0.3, 0.3, 0.3]), 0.2) == 1.0
    assert math.isnan(equal_p(estimate([0.0, 0.1]), 0.2))
    assert math.isnan(equal_p(Estimate(5, 0.0, 0.1, -0.1, 0.1), 0.0))
