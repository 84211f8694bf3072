"""Attacks by hand on five images, against scikit-learn, and where there is nothing to find."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

from kdharness.stats.attacks import OWN_VARIANCE, lira_scores, rates_of

# Three draws, five images.
CONFIDENCE = np.array([[5.0, 1.0, 0.0, 2.0, 3.0], [1.0, 4.0, 2.0, 6.0, 3.0], [3.0, 3.0, 1.0, 2.0, 4.0]])
MEMBERS = np.array([[1, 0, 0, 0, 1], [0, 1, 0, 1, 1], [0, 0, 1, 0, 1]], dtype=bool)


def test_scores_by_hand() -> None:
    """Of draw 0 the shadows are, image by image, {1, 3}, {3}, {2}, {2}, {}: one squared deviation sum, 2, with one
    degree of freedom, so that s^2 = 2.
    """
    found = lira_scores(CONFIDENCE, MEMBERS)
    expected = [(5 - 2) / math.sqrt(2 * 1.5), (1 - 3) / math.sqrt(2 * 2), (0 - 2) / 2, (2 - 2) / 2, math.nan]
    assert found[0] == pytest.approx(expected, nan_ok=True)
    # Of draw 1: {3}, {1, 3}, {0}, {2, 2}, {}: the sum is 2, with two degrees of freedom, so that s^2 = 1.
    expected = [(1 - 3) / math.sqrt(2), (4 - 2) / math.sqrt(1.5), 2 / math.sqrt(2), 4 / math.sqrt(1.5), math.nan]
    assert found[1] == pytest.approx(expected, nan_ok=True)


def test_rates_by_hand() -> None:
    """Members 5, 3, 1 and others 2, 0: of six pairs all but (1, 2) stand right."""
    scores, members = np.array([[5.0, 3.0, 1.0, 2.0, 0.0]]), np.array([[1, 1, 1, 0, 0]], dtype=bool)
    rates = rates_of(scores, members)
    assert (rates.members, rates.others) == (3, 2)
    assert rates.auc.value == pytest.approx(5 / 6)
    assert all(math.isnan(each.value) for each in rates.low_rates), "one of two is half of them"
    # Even images (5, 1 and 0) choose the threshold 1, by which both odd ones (3 and 2) are members; odd ones choose 3,
    # by which of the even ones 5 alone is: two of three members, one of two others.
    assert rates.advantage.value == pytest.approx(2 / 3 - 1 / 2)


def test_ties_count_half() -> None:
    rates = rates_of(np.zeros((1, 10)), np.arange(10)[None] < 5)
    assert rates.auc.value == 0.5
    assert rates.advantage.value == 0.0


def test_against_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    members = generator.random((6, 400)) < 0.5
    scores = np.round(generator.normal(size=members.shape) + members, 1)
    scores[:, :3] = np.nan
    rates, known = rates_of(scores, members), ~np.isnan(scores)
    assert rates.auc.value == pytest.approx(roc_auc_score(members[known], scores[known]))
    wrong, right, _ = roc_curve(members[known], scores[known], drop_intermediate=False)
    expected = [right[wrong <= rate].max() for rate in (0.01, 0.001)]
    assert [each.value for each in rates.low_rates] == pytest.approx(expected)
    assert rates.auc.low < rates.auc.value < rates.auc.high


def test_a_rate_needs_as_many_non_members() -> None:
    for others, known in ((99, [False, False]), (100, [True, False]), (999, [True, False]), (1000, [True, True])):
        rates = rates_of(np.arange(others + 5.0)[None], np.arange(others + 5)[None] < 5)
        assert [not math.isnan(each.value) for each in rates.low_rates] == known


def test_many_shadows_give_each_image_its_own_variance() -> None:
    generator = np.random.default_rng(1)
    members = generator.random((2 * OWN_VARIANCE + 20, 2)) < 0.5
    confidence = generator.normal(size=members.shape) * np.array([1.0, 10.0])
    own = np.nanstd(lira_scores(confidence, members), axis=0)
    assert own == pytest.approx([1, 1], rel=0.3)
    few = np.nanstd(lira_scores(confidence[:12], members[:12]), axis=0)
    assert few[1] > 3 * few[0], "one variance for both"


def simulated(generator: np.random.Generator, leak: float, draws: int = 6, images: int = 60) -> tuple[np.ndarray, ...]:
    """Images differ far more in how hard they are than by membership; networks differ too."""
    members = generator.random((draws, images)) < 0.5
    hardness, network = generator.normal(0, 3, images), generator.normal(0, 0.3, (draws, 1))
    return hardness + network + generator.normal(0, 1, members.shape) + leak * members, members


def test_nothing_is_found_where_nothing_leaks() -> None:
    """Over 200 simulations the means are those of chance, and intervals hold chance in about 95 %."""
    generator = np.random.default_rng(2)
    found = []
    for _ in range(200):
        confidence, members = simulated(generator, leak=0.0)
        found.append(rates_of(lira_scores(confidence, members), members))
    assert np.mean([each.auc.value for each in found]) == pytest.approx(0.5, abs=0.008)
    assert np.mean([each.advantage.value for each in found]) == pytest.approx(0.0, abs=0.015)
    assert np.mean([each.low_rates[0].value for each in found]) == pytest.approx(0.01, abs=0.006)
    assert np.mean([each.auc.low <= 0.5 <= each.auc.high for each in found]) >= 0.93


def test_a_leak_is_found_that_a_threshold_cannot_see() -> None:
    confidence, members = simulated(np.random.default_rng(3), leak=2.0, draws=8, images=200)
    lira, threshold = rates_of(lira_scores(confidence, members), members), rates_of(confidence, members)
    assert lira.auc.low > 0.8 > threshold.auc.high
    assert lira.low_rates[0].low > 0.1 > threshold.low_rates[0].value
    assert lira.advantage.low > 0.4


def test_one_draw_has_no_shadows() -> None:
    confidence, members = simulated(np.random.default_rng(4), leak=2.0, draws=1)
    rates = rates_of(lira_scores(confidence, members), members)
    assert (rates.members, rates.others) == (0, 0)
    assert math.isnan(rates.auc.value)


@pytest.mark.parametrize(("draws", "known"), [(1, True), (2, False), (5, False), (6, True)])
def test_so_few_networks_are_not_resampled(draws: int, known: bool) -> None:
    rates = rates_of(*simulated(np.random.default_rng(5), leak=1.0, draws=draws))
    assert 0.5 < rates.auc.value < 1
    assert [not math.isnan(end) for end in (rates.auc.low, rates.advantage.high)] == [known, known]
