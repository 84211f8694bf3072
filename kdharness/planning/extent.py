"""How large a plan may grow: numbers from outside decide how many cells there are and how long chains of them get."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from kdharness.errors import UserError

# Cells of a plan.
MOST_CELLS = 100_000

# Cells that wait for each other, the one that is asked for included.
MOST_IN_CHAIN = 101

# Cells that one cell requires, through however many steps; one that several of them require counts each time.
MOST_REQUIRED = 1000


class TooMuchRequired(Exception):
    """A cell requires more than a plan may hold. Its text says what the limit is."""


class Extent:
    """How deep within the requirements of a cell that is asked for the plan is, and how many they were so far."""

    def __init__(self) -> None:
        self.depth = 0
        self.visited = 0

    @contextmanager
    def within(self) -> Iterator[None]:
        """Around the planning of a cell. TooMuchRequired where it is one too many."""
        self.visited = self.visited + 1 if self.depth else 0
        if self.depth >= MOST_IN_CHAIN:
            raise TooMuchRequired(f"the chain of cells that it requires has more than {MOST_IN_CHAIN - 1}")
        if self.visited > MOST_REQUIRED:
            raise TooMuchRequired(f"it requires more than {MOST_REQUIRED} cells")
        self.depth += 1
        try:
            yield
        finally:
            self.depth -= 1


def check_cells(cells: int) -> None:
    """UserError for more cells than a plan may have."""
    if cells > MOST_CELLS:
        raise UserError(f"the plan has more than {MOST_CELLS} cells: choose fewer seeds, pairs, scenarios or methods")
