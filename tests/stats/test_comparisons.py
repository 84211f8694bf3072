"""The comparisons of a setting, corrected together."""

from __future__ import annotations

import fabricate
import numpy as np
import pytest

from kdharness.stats.comparisons import Kind, families, weights_of
from kdharness.stats.settings import comparable
from kdharness.stats.significance import holm, weighted_holm


def test_three_methods_by_hand() -> None:
    """Equal weights. Of 3 degrees of freedom p = 1 - 2 / pi * (a + sin a * cos a), tan a = t / sqrt(3)."""
    scores = {"vanilla": [88.0, 89.0, 88.0, 89.0], "kd": [90.0, 91.0, 91.0, 90.0], "at": [90.0, 92.0, 90.0, 92.0]}
    ((_, names, made),) = ((f.setting, f.competitors.names, f.comparisons) for f in families(*table(scores)))
    assert [name for name, _ in names] == ["at", "kd", "vanilla"]
    # at - kd: 0, 1, -1, 2; at - vanilla: 2, 3, 2, 3; kd - vanilla: 2, 2, 3, 1.
    assert made.mean.tolist() == [0.5, 2.5, 2.0]
    assert made.sd == pytest.approx([(5 / 3) ** 0.5, (1 / 3) ** 0.5, (2 / 3) ** 0.5])
    # t = 0.7746, 8.6603, 4.8990 of 3 degrees of freedom.
    ps = [0.495025, 0.0032390, 0.016277]
    assert made.weight == pytest.approx([1 / 3] * 3)
    assert made.p == pytest.approx([ps[0], 3 * ps[1], 2 * ps[2]], abs=5e-6)
    assert made.apart.tolist() == [False, True, True]


def table(scores: dict[str, list[float | None]]) -> tuple[object, tuple[str, str]]:
    return comparable(fabricate.scores_table(scores))[0], ("vanilla", "kd")


@pytest.mark.parametrize(
    ("counts", "shares"),
    [
        ((1, 2, 0), (1 / 3, 2 / 3, 0)),  # equal
        ((1, 4, 1), (1 / 6, 4 / 6, 1 / 6)),  # equal
        ((1, 16, 28), (0.1, 0.45, 0.45)),
        ((1, 152, 2850), (0.1, 0.45, 0.45)),
        ((0, 9, 36), (0, 0.5, 0.5)),
        ((0, 0, 6), (0, 0, 1)),
        ((1, 0, 0), (1, 0, 0)),
    ],
)
def test_weights(counts: tuple[int, ...], shares: tuple[float, ...]) -> None:
    kinds = np.repeat(list(Kind), counts)
    weights = weights_of(kinds)
    assert [weights[kinds == kind].sum() for kind in Kind] == pytest.approx(shares)
    assert all(np.ptp(weights[kinds == kind]) == 0 for kind in Kind if counts[kind])


def test_weighted_holm_by_hand() -> None:
    # p / w: 0.02, 0.04, 0.3; the weights left: 1, 0.5, 0.1.
    adjusted = weighted_holm(np.array([0.016, np.nan, 0.01, 0.03]), np.array([0.4, np.nan, 0.5, 0.1]))
    assert adjusted == pytest.approx([0.02, np.nan, 0.02, 0.03], nan_ok=True)


def test_equal_weights_are_plain_holm() -> None:
    ps = np.random.default_rng(0).uniform(0, 0.2, 9)
    assert weighted_holm(ps, np.full(9, 1 / 9)) == pytest.approx(holm(ps.tolist()))
