"""Python's collector of reference cycles, while much is loaded that stays."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

# So many new objects call the collector while something is loaded; Python's own limit is 700. Torch and what it loads
# make about a million that stay, and to go through them again and again takes a fifth of the time of loading them.
WHILE_LOADING = 100_000


@contextmanager
def seldom_collected() -> Iterator[None]:
    """In it Python looks for cycles seldom, and after it as before."""
    before = gc.get_threshold()
    gc.set_threshold(WHILE_LOADING, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


@contextmanager
def collector_paused() -> Iterator[None]:
    """For a stretch of work that keeps what it makes: the search for garbage in all of it, again and again, takes
    longer than the reading of a large folder.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
