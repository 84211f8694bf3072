"""A process that is asked to end while it trains: the cells' epoch ends first, and is kept. It loads no torch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from kdharness.failures import Stopped


class StopRequest:
    """The request to end, as the process' signal handler makes it. asked: whether it was made and waits."""

    def __init__(self) -> None:
        self.asked = False
        self._deferred = False
        self._raised = False

    def ask(self) -> None:
        """Raises Stopped at once, but where an epoch is to end first. There the second request does."""
        if self.asked or not self._deferred:
            self._raised = True
            raise Stopped
        self.asked = True

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """What runs in here calls `obey` wherever it can leave off."""
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False

    def obey(self) -> None:
        """Raises Stopped when that was asked."""
        if self.asked:
            raise Stopped

    def insist(self) -> None:
        """Raises Stopped once more where it was raised, and a plugin swallowed it."""
        if self._raised:
            raise Stopped


#: Of this process.
stop_request = StopRequest()
