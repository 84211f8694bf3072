"""Where a cell stands in its phases."""

from __future__ import annotations

import pytest

from kdharness.api import Phase
from kdharness.engine.phase_clock import PhaseClock


def test_lengths_are_a_phases_own_or_its_share_of_the_recipe():
    phases = [Phase("a", epochs=3), Phase("b", fraction=0.25), Phase("c", fraction=0.01)]
    assert PhaseClock.of(phases, 10).lengths == (3, 2, 1)
    assert PhaseClock.of(phases, 10).epochs == 6


def test_it_counts_through_all_phases():
    clock = PhaseClock([Phase("a"), Phase("b")], [2, 1])
    seen = []
    while not clock.finished:
        seen.append((clock.phase.name, clock.epoch_in_phase, clock.epoch, clock.in_last_phase))
        ended = clock.tick()
        assert ended == (clock.epoch_in_phase == 0)
    assert seen == [("a", 0, 0, False), ("a", 1, 1, False), ("b", 0, 2, True)]
    assert clock.epoch == 3


def test_the_share_done_is_that_of_the_phase():
    clock = PhaseClock([Phase("a"), Phase("b")], [2, 4])
    assert clock.place(0, 5).share_done == 0
    assert clock.place(1, 4).share_done == pytest.approx(1 / 8)
    clock.tick()
    assert clock.place(2, 4).share_done == pytest.approx(3 / 4)
    clock.tick()
    assert clock.place(0, 4).share_done == 0


@pytest.mark.parametrize(("every", "due"), [(0, range(6, 16)), (4, [4, *range(6, 16)]), (1, range(1, 16))])
def test_the_last_ten_epochs_are_evaluated_and_every_so_many(every, due):
    clock = PhaseClock([Phase()], [15])
    found = []
    while not clock.finished:
        clock.tick()
        found += [clock.epoch] if clock.evaluation_due(every) else []
    assert found == list(due)


def test_it_goes_on_where_it_was():
    clock = PhaseClock([Phase("a"), Phase("b")], [2, 2])
    for _ in range(3):
        clock.tick()
    other = PhaseClock(clock.phases, clock.lengths)
    other.load_state_dict(clock.state_dict())
    assert (other.number, other.epoch_in_phase, other.epoch) == (1, 1, 3)
