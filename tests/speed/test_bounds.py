"""What sharing can gain, in numbers that are easy to follow."""

from __future__ import annotations

import pytest

from kdharness.speed.bound import bound, paid_after


def test_cells_that_share_a_teacher():
    """Eight cells, T = 2 and S = 1: 24 by themselves, 10 together."""
    assert bound(8, 8, teacher=2.0, student=1.0) == pytest.approx(2.4)


def test_one_cell_gains_nothing():
    assert bound(1, 1, teacher=2.0, student=1.0) == 1.0


def test_a_table_spares_all_of_the_teacher():
    assert bound(8, 8, teacher=2.0, student=1.0, served=True) == pytest.approx(3.0)


def test_cells_without_a_teacher_gain_nothing_and_do_not_pay_for_one():
    assert bound(0, 3, teacher=2.0, student=1.0) == 1.0
    assert bound(1, 2, teacher=2.0, student=1.0) == 1.0
    assert bound(2, 3, teacher=2.0, student=1.0) == pytest.approx(7 / 5)


def test_when_a_table_has_paid():
    assert paid_after(162.0, without=3.0, with_table=2.0) == pytest.approx(162)
    assert paid_after(162.0, without=2.0, with_table=2.0) is None
