"""Requests of the system to end, in the process that watches a run."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from kdharness.failures import interrupts


@contextmanager
def terminations_interrupt() -> Iterator[None]:
    """In here SIGTERM, as schedulers of clusters and service managers send it, is what Ctrl-C is.

    Only a main thread may say so; in others nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupts)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
