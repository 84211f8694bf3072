"""What a cell tells of private images, in one number: the epsilon that it spent on what teachers said who saw them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from kdharness.planning.cell import Cell, TeacherSource
from kdharness.planning.plan import PlannedCell
from kdharness.results.record import Record

SECRET, PUBLIC = "secret", "public"


@dataclass(frozen=True)
class Budget:
    """epsilon at delta; 0 where nobody was asked who saw private images, infinite where one was without protection."""

    epsilon: float = 0.0
    delta: float = 0.0

    def __add__(self, other: Budget) -> Budget:
        """Of both together, whatever they are: basic composition."""
        if math.inf in (self.epsilon, other.epsilon):
            return INFINITE
        return Budget(self.epsilon + other.epsilon, self.delta + other.delta)


INFINITE = Budget(math.inf)


def budget_of(cell: Cell, planned: Mapping[str, PlannedCell], records: Mapping[str, Record]) -> Budget | None:
    """Of what a cell says, and of what those say that it learned from. None where the scenario keeps nothing private.

    A method states its own, of what teachers said or of its own training on private images, by the numbers `epsilon`
    and `delta`. They count unless `noise_public` says that the noise can be taken off again. Without them
    `epsilon_infinite` says that it protects nothing (1) or asked nobody (0).
    """
    return _budget(cell, planned, records, frozenset()) if cell.has_private_images else None


def _budget(
    cell: Cell, planned: Mapping[str, PlannedCell], records: Mapping[str, Record], after: frozenset[str]
) -> Budget:
    """after: keys of the cells that led here, which a damaged plan may lead back to."""
    if cell.unprotected:
        return INFINITE
    after |= {cell.key}
    sources = [None if s.cell in after else _cell_of(s, planned) for s in cell.sources]
    asked = cell.accounted or any(source is None or source.unprotected for source in sources)
    total = _stated(cell, records.get(cell.key)) or (INFINITE if asked else Budget())
    for source in sources:
        if source is not None and not source.unprotected:
            total += _budget(source, planned, records, after)
    return total


def _cell_of(source: TeacherSource, planned: Mapping[str, PlannedCell]) -> Cell | None:
    """None for one of which nothing is known, such as a file: it may have seen everything."""
    entry = planned.get(source.cell)
    return None if entry is None else entry.cell


def _stated(cell: Cell, record: Record | None) -> Budget | None:
    """What the method says of its own mechanism."""
    values = {} if record is None else record.values
    names = ("epsilon", "delta", "epsilon_infinite", "noise_public")
    epsilon, delta, infinite, public = (values.get(f"x_{cell.method}_{name}") for name in names)
    if infinite or (epsilon and public):
        return INFINITE
    if epsilon is None:
        return None if infinite is None else Budget()
    return Budget(float(epsilon), float(delta or 0))


def noise_of(cell: Cell, record: Record) -> str:
    """Whether the cell's noise is secret, public, or none that protects."""
    if cell.secret:
        return SECRET
    return PUBLIC if record.values.get(f"x_{cell.method}_noise_public") else ""
