"""Who pays for what: the time of cells' own steps, and of what is made once for all cells that read it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from kdharness.device.clock import Clock
from kdharness.device.memory import MemoryMeter

Made = TypeVar("Made")


@dataclass(eq=False)
class Thing:
    """Something that is made once and read by several cells: a batch, a view of it, what a teacher says of that.

    readers: the accounts of the cells that read it, or what was made of it.
    needs: the things that it was made of.
    """

    readers: set[str] = field(default_factory=set)
    needs: list[Thing] = field(default_factory=list)

    def read_by(self, reader: str) -> None:
        if reader not in self.readers:
            self.readers.add(reader)
            for thing in self.needs:
                thing.read_by(reader)


@dataclass(frozen=True)
class Bill:
    """Seconds of one cell.

    own: of its own steps.
    shared: its share of the things that it read, each divided among its readers.
    alone: its own steps and all of each thing that it read, as if nobody else were there.
    """

    own: float
    shared: float
    alone: float


class Ledger:
    """Charges one clock, and knows who reads what.

    A thing's time is in nobody's own steps, whoever asked for it first; its memory neither.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._reader = ""
        self._making: list[Thing] = []
        self._things: list[Thing] = []
        self._meter: MemoryMeter | None = None

    @contextmanager
    def turn(self, reader: str) -> Iterator[None]:
        """A cell's own step. What is read in here, it pays for."""
        self._reader = reader
        try:
            with self.clock.charge(reader):
                yield
        finally:
            self._reader = ""

    @contextmanager
    def making(self) -> Iterator[Thing]:
        """A thing is made in here. Things that are read meanwhile are what it is made of."""
        thing = Thing()
        self._things.append(thing)
        self._making.append(thing)
        counts = self._count(False)
        try:
            with self.clock.charge(thing):
                yield thing
        finally:
            self._making.pop()
            self._count(counts)

    def read(self, thing: Thing) -> None:
        """By what is being made; else by the cell whose turn it is."""
        if self._making:
            self._making[-1].needs.append(thing)
        elif self._reader:
            thing.read_by(self._reader)

    def bills(self, readers: list[str]) -> dict[str, Bill]:
        """Of each cell since the last time. What nobody read is nobody's."""
        self.clock.settle()
        shared, full = dict.fromkeys(readers, 0.0), dict.fromkeys(readers, 0.0)
        for thing in self._things:
            seconds = self.clock.take(thing)
            for reader in thing.readers:
                shared[reader] += seconds / len(thing.readers)
                full[reader] += seconds
        self._things.clear()
        own = {reader: self.clock.take(reader) for reader in readers}
        return {reader: Bill(own[reader], shared[reader], own[reader] + full[reader]) for reader in readers}

    # -- memory -------------------------------------------------------------------------------------------------------

    @contextmanager
    def metered(self, meter: MemoryMeter) -> Iterator[MemoryMeter]:
        """The meter counts what is made in here, but for things."""
        with meter as entered:
            self._meter = entered
            try:
                yield entered
            finally:
                self._meter = None

    def _count(self, counts: bool) -> bool:
        """Whether the meter counts from here on; returns whether it did."""
        if self._meter is None:
            return True
        before, self._meter.counts = self._meter.counts, counts
        return before


class Shelf:
    """Things of one place, by name: each is made when it is first read."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self._things: dict[Hashable, tuple[Thing, Any]] = {}

    def read(self, name: Hashable, make: Callable[[], Made]) -> Made:
        """What `make` gave when the name was first read."""
        if name not in self._things:
            with self.ledger.making() as thing:
                made = make()
            self._things[name] = thing, made
        thing, found = self._things[name]
        self.ledger.read(thing)
        value: Made = found
        return value
