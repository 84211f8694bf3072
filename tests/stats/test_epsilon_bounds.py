"""The lower bound on epsilon against numbers by hand, and against mechanisms whose epsilon is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from kdharness.stats.epsilon_bounds import best_bound, lower_bound, probability


@pytest.mark.parametrize("guesses", [5, 20, 100])
def test_all_right_by_hand(guesses: int) -> None:
    """q^r = 0.05 for q = e^epsilon / (1 + e^epsilon)."""
    q = 0.05 ** (1 / guesses)
    assert lower_bound(guesses, guesses, guesses, 0.0) == pytest.approx(math.log(q / (1 - q)), abs=1e-7)


def test_it_is_where_the_binomial_has_five_percent() -> None:
    found = lower_bound(50, 40, 200, 0.0)
    chance = 1 / (1 + math.exp(-found))
    assert stats.binom.sf(39, 50, chance) == pytest.approx(0.05, abs=1e-7)
    assert chance == pytest.approx(stats.beta.ppf(0.05, 40, 11), abs=1e-7), "Clopper and Pearson's lower limit"


def test_delta_by_hand() -> None:
    """Two guesses, both right, epsilon 0: W is 0, 1, 2 with 1/4, 1/2, 1/4. P[W >= 2] = 1/4; the steepest of
    P[2 > W >= 1] / 1 = 1/2 and P[2 > W >= 0] / 2 = 3/8 is 1/2; with m = 10 and delta = 0.01 it adds 0.1.
    """
    assert probability(2, 2, 10, 0.0, 0.0) == pytest.approx(0.25)
    assert probability(2, 2, 10, 0.0, 0.01) == pytest.approx(0.35)
    assert lower_bound(100, 90, 1000, 1e-5) < lower_bound(100, 90, 1000, 0.0)


def test_nothing_is_refuted_by_guesses_as_good_as_chance() -> None:
    assert lower_bound(100, 55, 100, 0.0) == 0.0
    assert lower_bound(0, 0, 100, 0.0) == 0.0
    assert best_bound([np.array([])], np.array([], dtype=bool), 0.0) is None


def test_it_says_which_guesses_it_rests_on() -> None:
    members = np.arange(200) < 100
    bound = best_bound([-np.arange(200.0)], members, 0.0)
    assert bound is not None
    assert (bound.coins, bound.guesses, bound.right) == (200, 200, 200)
    q = (0.05 / 4) ** (1 / 200)
    assert bound.epsilon == pytest.approx(math.log(q / (1 - q)), abs=1e-6)
    alternate = np.arange(200) % 2 == 0
    few_tell = np.where(np.arange(200) < 40, np.where(alternate, 1.0, -1.0), 0.0)
    sure = best_bound([few_tell], alternate, 0.0)
    assert sure is not None
    assert (sure.guesses, sure.right) == (40, 40)


def test_more_ways_to_be_sure_cost_their_share_of_the_level() -> None:
    members = np.arange(100) < 50
    both = best_bound([np.zeros(100), -np.arange(100.0)], members, 0.0)
    assert both is not None
    q = (0.05 / 8) ** (1 / 100)
    assert both.epsilon == pytest.approx(math.log(q / (1 - q)), abs=1e-6)
    assert both.p(both.epsilon) == pytest.approx(0.05)
    assert both.p(0.0) == pytest.approx(8 * 0.5**100)


@pytest.mark.parametrize("epsilon", [0.0, 1.0, 3.0])
def test_it_exceeds_the_truth_in_five_percent_at_most(epsilon: float) -> None:
    """Randomised response tells each coin with probability e^epsilon / (1 + e^epsilon): no epsilon private release
    tells more.
    """
    generator = np.random.default_rng(0)
    above, found = 0, []
    for _ in range(200):
        members = generator.random(300) < 0.5
        told = members ^ (generator.random(300) > 1 / (1 + math.exp(-epsilon)))
        bound = best_bound([told + 1e-3 * generator.random(300), generator.random(300)], members, 0.0)
        assert bound is not None
        above += bound.epsilon > epsilon
        found.append(bound.epsilon)
    assert above <= 16  # 0.05 of 200, and two standard deviations
    assert np.mean(found) > 0.55 * epsilon
