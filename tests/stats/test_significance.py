"""Sign-flip test and Holm's correction against numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from kdharness.stats import significance
from kdharness.stats.significance import holm, sign_flip_p, t_p


@pytest.mark.parametrize(("n", "least"), [(1, 1.0), (2, 0.5), (3, 0.25), (4, 0.125), (5, 0.0625), (6, 0.03125)])
def test_least_p_of_n_differences(n: int, least: float) -> None:
    assert sign_flip_p([0.3 + 0.1 * i for i in range(n)]) == least
    assert sign_flip_p([-0.3 - 0.1 * i for i in range(n)]) == least


def test_by_hand() -> None:
    # |sum| under the 8 sign patterns of (3, 1, -1): 3 observed; 5, 3, 3, 1 and their opposites: 6 of 8 are as extreme.
    assert sign_flip_p([3.0, 1.0, -1.0]) == 6 / 8
    assert sign_flip_p([0.0, 0.0, 0.0]) == 1.0
    assert math.isnan(sign_flip_p([]))


def test_sums_that_differ_by_rounding_alone_are_equal() -> None:
    assert sign_flip_p([0.1, 0.2, -0.3]) == 1.0


def test_random_signs_agree_with_scipy_beyond_enumeration() -> None:
    values = np.random.default_rng(1).normal(0.4, 1.0, 20).tolist()
    p = sign_flip_p(values)
    assert p == sign_flip_p(values)
    exact = stats.permutation_test(
        (values,), np.sum, permutation_type="samples", n_resamples=50_000, rng=np.random.default_rng(2)
    )
    assert p == pytest.approx(exact.pvalue, abs=0.01)


@pytest.mark.parametrize("n", [2, 3, 5, 8])
def test_exact_p_is_that_of_scipys_enumeration(n: int) -> None:
    generator = np.random.default_rng(n)
    for _ in range(5):
        values = generator.normal(0.4, 1.0, n).round(2)
        exact = stats.permutation_test((values,), np.sum, permutation_type="samples", n_resamples=10**6)
        assert sign_flip_p(values.tolist()) == pytest.approx(exact.pvalue, abs=1e-12)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_random_signs_never_give_zero(sign: float) -> None:
    # All of one sign and size: only 2 of 2^40 patterns are as extreme, and no draw will hit them.
    assert sign_flip_p([sign] * 40) == 1 / (1 + significance.DRAWS)


def test_random_signs_count_the_observed_ones_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(significance, "DRAWS", 3)
    assert sign_flip_p([0.0] * 20) == 1.0  # (3 + 1) / (3 + 1)
    assert sign_flip_p([1.0] * 40) == 1 / 4


def test_enumeration_ends_where_random_signs_begin() -> None:
    assert sign_flip_p([1.0] * significance.MOST_ENUMERATED) == 2 / 2**significance.MOST_ENUMERATED
    assert sign_flip_p([1.0] * (significance.MOST_ENUMERATED + 1)) != 2 / 2 ** (significance.MOST_ENUMERATED + 1)


def test_enumeration_and_random_signs_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(3).normal(0.3, 1.0, 12).tolist()
    exact = sign_flip_p(values)
    monkeypatch.setattr(significance, "MOST_ENUMERATED", 4)
    assert sign_flip_p(values) == pytest.approx(exact, abs=0.01)


def test_t_p_is_scipys() -> None:
    values = [0.5, 0.9, -0.1, 0.7]
    assert t_p(values) == pytest.approx(stats.ttest_1samp(values, 0).pvalue)
    assert math.isnan(t_p([1.0]))


@pytest.mark.parametrize("same", [0.0, 1.0, 0.1 + 0.2])
def test_differences_that_are_all_the_same_have_no_spread_to_judge_by(same: float) -> None:
    assert t_p([same] * 5) == 1.0
    # What more differences would not lessen is a spread: this one is as good as known.
    assert t_p([same] * 5, 0.04) == pytest.approx(2 * stats.norm.sf(same / 0.2))


def test_holm_by_hand() -> None:
    # Sorted .01, .02, .03, .04: times 4, 3, 2, 1 is .04, .06, .06, .04; never falling: .04, .06, .06, .06.
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_holm_does_not_count_what_was_not_tested() -> None:
    adjusted = holm([math.nan, 0.02, 0.5])
    assert math.isnan(adjusted[0])
    assert adjusted[1:] == pytest.approx([0.04, 0.5])
