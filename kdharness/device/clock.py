"""Time by account: what a cell's own steps took, and what was done once for the group."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

SHARED = "shared"


class Timers:
    """Charges stretches of time to named accounts. A nested stretch is charged to its own account, not to the outer
    one.

    On a GPU events are recorded and read in `settle`, so that measuring does not wait for the device.
    """

    def __init__(self, device: torch.device) -> None:
        self.cuda = device.type == "cuda"
        self.seconds: dict[str, float] = defaultdict(float)
        self._open: list[tuple[str, Any]] = []
        self._events: list[tuple[str, Any, Any]] = []

    def _mark(self) -> Any:
        if not self.cuda:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def _book(self, account: str, start: Any, end: Any) -> None:
        if self.cuda:
            self._events.append((account, start, end))
        else:
            self.seconds[account] += end - start

    @contextmanager
    def charge(self, account: str) -> Iterator[None]:
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
        """Adds up what was recorded on the device; waits for it."""
        if self._events:
            torch.cuda.synchronize()
            for account, start, end in self._events:
                self.seconds[account] += start.elapsed_time(end) / 1000
            self._events.clear()

    def take(self, account: str) -> float:
        """The account's seconds so far, which is then empty."""
        return self.seconds.pop(account, 0.0)
