"""Tests of mean ranks over settings, against published numbers and other implementations."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from kdharness.stats.mean_ranks import critical_difference, pairs_of, profile, rank_test, settings_needed


@pytest.mark.parametrize(
    ("competitors", "against_one", "all_pairs"), [(6, 8, 10), (10, 9, 11), (15, 10, 13), (2, 6, 6)]
)
def test_settings_until_wilcoxon_with_holm_can_reject(competitors: int, against_one: int, all_pairs: int) -> None:
    assert settings_needed(competitors - 1) == against_one
    assert settings_needed(pairs_of(competitors)) == all_pairs


@pytest.mark.parametrize("tests", [1, 5, 15, 45])
def test_one_setting_fewer_can_never_reject(tests: int) -> None:
    n = settings_needed(tests)
    assert tests * stats.wilcoxon(np.arange(1.0, n + 1)).pvalue <= 0.05
    assert tests * stats.wilcoxon(np.arange(1.0, n)).pvalue > 0.05


@pytest.mark.parametrize(("settings", "difference"), [(7, 5.1), (13, 3.8), (21, 3.0)])
def test_nemenyi_s_critical_difference_of_ten(settings: int, difference: float) -> None:
    assert critical_difference(10, settings) == pytest.approx(difference, abs=0.05)


def test_demsar_s_example() -> None:
    """Demsar 2006, section 3.2.2: four classifiers on 14 data sets, CD 1.25."""
    assert critical_difference(4, 14) == pytest.approx(1.25, abs=0.005)


@pytest.fixture
def means() -> np.ndarray:
    """Twelve settings: the first is best everywhere, the two others are alike."""
    rng = np.random.default_rng(0)
    return np.column_stack([90 + rng.random(12), 80 + rng.random(12), 80 + rng.random(12)])


def test_who_is_told_apart(means: np.ndarray) -> None:
    found = rank_test(means)
    assert found.cliques in (((1, 2),), ((2, 1),))
    assert found.p_holm[0, 1] == pytest.approx(3 * 2 / 2**12)
    assert found.p_holm[1, 2] == pytest.approx(stats.wilcoxon(means[:, 1] - means[:, 2]).pvalue)
    assert (found.p_holm == found.p_holm.T).all()


def test_friedman_s_statistic_as_scipy_has_it(means: np.ndarray) -> None:
    chi2, n, k = stats.friedmanchisquare(*means.T).statistic, 12, 3
    expected = stats.f.sf((n - 1) * chi2 / (n * (k - 1) - chi2), k - 1, (k - 1) * (n - 1))
    assert rank_test(means).friedman_p == pytest.approx(expected)


def test_the_same_order_everywhere() -> None:
    rng = np.random.default_rng(1)
    found = rank_test(np.array([3.0, 2.0, 1.0]) + 0.1 * rng.random((8, 3)))
    assert found.friedman_p == 0.0
    assert found.cliques == ()


def test_equal_competitors_are_one_clique() -> None:
    found = rank_test(np.repeat(np.random.default_rng(2).random((9, 1)), 3, axis=1))
    assert found.cliques == ((0, 1, 2),)
    assert found.friedman_p == 1.0


def test_too_few_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="6 settings are too few for 3 competitors"):
        rank_test(np.zeros((6, 3)))


def test_critical_difference_as_scikit_posthocs(means: np.ndarray) -> None:
    posthocs = pytest.importorskip("scikit_posthocs", reason="a cross-check that needs scikit-posthocs")
    ranks = stats.rankdata(-means, axis=1).mean(axis=0)
    p = posthocs.posthoc_nemenyi_friedman(means).to_numpy()
    apart = np.abs(ranks[:, None] - ranks[None, :]) > critical_difference(3, 12)
    assert ((p < 0.05) == apart).all()


def test_profile_by_hand() -> None:
    regret = np.array([[0.0, 0.3], [0.1, 0.0], [2.0, 0.2]])
    assert profile(regret, (0.0, 0.2, 1.0)) == pytest.approx(np.array([[1 / 3, 1 / 3], [2 / 3, 2 / 3], [2 / 3, 1.0]]))
