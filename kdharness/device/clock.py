"""Time by account: of a cell's own steps, and of each thing that is made once for several."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import Any


class Clock:
    """Charges stretches of time to accounts. A nested stretch is charged to its own account alone.

    seconds: by account, as far as they are settled.
    """

    def __init__(self) -> None:
        self.seconds: dict[Hashable, float] = defaultdict(float)
        self._open: list[tuple[Hashable, Any]] = []

    def _mark(self) -> Any:
        """A moment."""
        return time.perf_counter()

    def _book(self, account: Hashable, start: Any, end: Any) -> None:
        """Adds the time between two moments to an account."""
        self.seconds[account] += end - start

    @contextmanager
    def charge(self, account: Hashable) -> Iterator[None]:
        now = self._mark()
        if self._open:
            self._book(*self._open[-1], now)
        self._open.append((account, now))
        try:
            yield
        finally:
            now = self._mark()
            self._book(*self._open.pop(), now)
            if self._open:
                self._open[-1] = (self._open[-1][0], now)

    def settle(self) -> None:
        """Adds up what was recorded and not read yet. May wait for the device."""

    def take(self, account: Hashable) -> float:
        """The account's seconds so far, which is then empty."""
        return self.seconds.pop(account, 0.0)
