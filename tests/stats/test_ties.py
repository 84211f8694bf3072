"""Intervals of ranks, and letters of ties."""

from __future__ import annotations

import numpy as np
from hypothesis import given, strategies as st

from kdharness.stats.ties import rank_intervals, tie_groups


@st.composite
def told_apart(draw: st.DrawFn) -> np.ndarray:
    """Any symmetric relation of up to nine competitors."""
    count = draw(st.integers(1, 9))
    flags = draw(st.lists(st.booleans(), min_size=count * count, max_size=count * count))
    upper = np.triu(np.array(flags).reshape(count, count), 1)
    return upper | upper.T


def sets_of(groups: list[str]) -> list[set[str]]:
    return [set(text.split(" ") if " " in text or text.isdigit() else text) for text in groups]


def shares(groups: list[set[str]]) -> np.ndarray:
    return np.array([[bool(a & b) for b in groups] for a in groups])


@given(told_apart())
def test_two_share_a_letter_exactly_when_not_told_apart(apart: np.ndarray) -> None:
    groups = sets_of(tie_groups(apart))
    assert (shares(groups) == ~apart).all()


@given(told_apart())
def test_no_letter_can_be_taken_away(apart: np.ndarray) -> None:
    groups = sets_of(tie_groups(apart))
    for i, own in enumerate(groups):
        for letter in own:
            fewer = [own - {letter} if j == i else each for j, each in enumerate(groups)]
            assert (shares(fewer) != ~apart).any()


def test_letters_by_hand() -> None:
    """Neighbours are tied, others are not; the best has the first letter."""
    places = np.arange(4)
    assert tie_groups(np.abs(places[:, None] - places) > 1) == ["a", "ab", "bc", "c"]
    assert tie_groups(~np.eye(3, dtype=bool)) == ["a", "b", "c"]
    assert tie_groups(np.zeros((3, 3), dtype=bool)) == ["a", "a", "a"]
    assert tie_groups(np.zeros((1, 1), dtype=bool)) == ["a"]


def test_beyond_the_alphabet_groups_are_numbers() -> None:
    assert tie_groups(~np.eye(26, dtype=bool))[-1] == "z"
    places = np.arange(28)
    groups = tie_groups(np.abs(places[:, None] - places) > 1)
    assert (groups[0], groups[1], groups[-1]) == ("1", "1 2", "27")


def test_ties_without_number_end() -> None:
    """Each is told apart from two others: three times as many largest sets for every three more."""
    triples = np.arange(60) // 3
    apart = (triples[:, None] == triples) & ~np.eye(60, dtype=bool)
    assert (shares(sets_of(tie_groups(apart))) == ~apart).all()


def test_rank_intervals_by_hand() -> None:
    better = np.zeros((4, 4), dtype=bool)
    better[0, [2, 3]] = better[1, 3] = True
    best, worst = rank_intervals(better, np.array([1, 2, 3, 4]))
    assert (best.tolist(), worst.tolist()) == ([1, 1, 2, 3], [2, 3, 4, 4])


def test_an_interval_holds_the_rank_whatever_was_found() -> None:
    better = np.zeros((3, 3), dtype=bool)
    better[2, 0] = better[2, 1] = True
    best, worst = rank_intervals(better, np.array([1, 2, 3]))
    assert (best.tolist(), worst.tolist()) == ([1, 2, 1], [3, 3, 3])
