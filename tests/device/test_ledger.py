"""Who is charged what, to the second, on a clock that the test moves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from kdharness.device.clock import Clock
from kdharness.device.ledger import Bill, Ledger, Shelf, Thing
from kdharness.device.memory import MemoryMeter


class ByHand(Clock):
    """now: seconds, which pass when the test says so."""

    now = 0.0

    def _mark(self) -> Any:
        return self.now


class Kitchen:
    """A ledger, and things that take so many seconds."""

    def __init__(self) -> None:
        self.clock = ByHand()
        self.ledger = Ledger(self.clock)
        self.shelf = Shelf(self.ledger)

    def work(self, seconds: float) -> None:
        self.clock.now += seconds

    def dish(self, name: str, seconds: float, *of: Callable[[], str]) -> Callable[[], str]:
        """Reads a thing that takes so many seconds, and those that it is made of."""

        def make() -> str:
            for read in of:
                read()
            self.work(seconds)
            return name

        return lambda: self.shelf.read(name, make)

    def step(self, cell: str, seconds: float, *reads: Callable[[], str]) -> None:
        with self.ledger.turn(cell):
            for read in reads:
                read()
            self.work(seconds)


@pytest.fixture
def kitchen() -> Kitchen:
    return Kitchen()


def test_a_thing_is_paid_by_its_readers_alone(kitchen: Kitchen) -> None:
    teacher = kitchen.dish("teacher", 10)
    kitchen.step("vanilla", 1)
    kitchen.step("kd", 2, teacher)
    kitchen.step("at", 4, teacher)
    assert kitchen.ledger.bills(["vanilla", "kd", "at"]) == {
        "vanilla": Bill(own=1, shared=0, alone=1),
        "kd": Bill(own=2, shared=5, alone=12),
        "at": Bill(own=4, shared=5, alone=14),
    }


def test_the_order_of_readers_does_not_matter(kitchen: Kitchen) -> None:
    """Whoever reads first has the thing made within its own step, and pays no more than the others."""
    bills = []
    for order in (("a", "b"), ("b", "a")):
        fresh = Kitchen()
        thing = fresh.dish("thing", 6)
        for cell in order:
            fresh.step(cell, 1, thing)
        bills.append(fresh.ledger.bills(["a", "b"]))
    assert bills[0] == bills[1]


def test_what_a_thing_is_made_of_is_paid_by_its_readers_too(kitchen: Kitchen) -> None:
    """The teacher alone sees the strong view; its reader pays for both, and shares the plain one with the other."""
    plain, strong = kitchen.dish("plain", 8), kitchen.dish("strong", 3)
    teacher = kitchen.dish("teacher", 10, plain, strong)
    kitchen.step("kd", 1, teacher)
    kitchen.step("vanilla", 1, plain)
    assert kitchen.ledger.bills(["kd", "vanilla"]) == {
        "kd": Bill(own=1, shared=4 + 3 + 10, alone=1 + 8 + 3 + 10),
        "vanilla": Bill(own=1, shared=4, alone=9),
    }


def test_a_late_reader_pays_for_what_was_made_before_its_turn(kitchen: Kitchen) -> None:
    view = kitchen.dish("view", 8)
    teacher = kitchen.dish("teacher", 10, view)
    kitchen.step("kd", 1, view, teacher)
    kitchen.step("at", 1, teacher)
    bills = kitchen.ledger.bills(["kd", "at"])
    assert bills["kd"] == bills["at"] == Bill(own=1, shared=9, alone=19)


def test_what_one_reads_twice_is_paid_once(kitchen: Kitchen) -> None:
    view = kitchen.dish("view", 8)
    kitchen.step("kd", 1, view, kitchen.dish("teacher", 10, view), view)
    assert kitchen.ledger.bills(["kd"]) == {"kd": Bill(own=1, shared=18, alone=19)}


def test_what_nobody_reads_is_nobodys(kitchen: Kitchen) -> None:
    """The one that asked for it failed while it was made."""

    def burn() -> None:
        with kitchen.ledger.turn("a"), kitchen.ledger.making():
            kitchen.work(5)
            raise ValueError("burnt")

    with pytest.raises(ValueError, match="burnt"):
        burn()
    kitchen.step("b", 1)
    assert kitchen.ledger.bills(["a", "b"]) == {"a": Bill(0, 0, 0), "b": Bill(1, 0, 1)}


def test_a_bill_begins_where_the_last_one_ended(kitchen: Kitchen) -> None:
    view = kitchen.dish("view", 8)
    kitchen.step("a", 1, view)
    kitchen.ledger.bills(["a"])
    kitchen.step("a", 2, view)
    assert kitchen.ledger.bills(["a"]) == {"a": Bill(own=2, shared=0, alone=2)}


def test_outside_of_any_turn_reading_costs_nobody(kitchen: Kitchen) -> None:
    thing = Thing()
    kitchen.ledger.read(thing)
    assert not thing.readers


def test_alone_a_cell_pays_all_of_it_itself(kitchen: Kitchen) -> None:
    """And `alone` is the same number as beside others."""
    alone, beside = Kitchen(), kitchen
    for place, cells in ((alone, ["kd"]), (beside, ["at", "kd", "sp"])):
        teacher = place.dish("teacher", 10, place.dish("view", 8))
        for cell in cells:
            place.step(cell, 2, teacher)
    bill = alone.ledger.bills(["kd"])["kd"]
    assert bill.shared == bill.alone - bill.own == 18
    assert beside.ledger.bills(["at", "kd", "sp"])["kd"].alone == bill.alone


# -- memory ------------------------------------------------------------------------------------------------------------


def test_memory_of_things_is_not_the_readers(kitchen: Kitchen) -> None:
    """Neither what a thing holds nor what it took to make it, be it made in the turn that is measured or before."""
    peaks = []
    for first in (True, False):
        fresh = Kitchen()

        def make() -> torch.Tensor:
            return torch.ones(1000).exp().log()

        def read(shelf: Shelf = fresh.shelf) -> torch.Tensor:
            return shelf.read("thing", make)

        if not first:
            read()
        with fresh.ledger.turn("a"), fresh.ledger.metered(MemoryMeter()) as meter:
            own = torch.ones(10)
            more = own + read()[:10]
            peaks.append(meter.peak)
        del own, more
    assert peaks == [2 * 40] * 2
