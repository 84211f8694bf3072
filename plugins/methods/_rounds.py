"""Phases that come in rounds, and how they share the epochs of a recipe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Stretch(NamedTuple):
    """A phase to be; iteration: its round, from 0, or -1 before the first."""

    name: str
    iteration: int
    epochs: int


def affordable(stretches: Sequence[Stretch], epochs: int) -> list[Stretch]:
    """No more stretches than epochs: the last rounds are left out first, then warm, hint and self."""
    kept, last = list(stretches), max((s.iteration for s in stretches), default=-1)
    while len(kept) > epochs and last > 0:
        kept = [s for s in kept if s.iteration < last]
        last -= 1
    for name in ("warm", "hint", "self"):
        if len(kept) > epochs:
            kept = [s for s in kept if s.name != name]
    return kept


def apportioned(weights: Sequence[int], total: int) -> list[int]:
    """Whole numbers of at least 1 that sum to `total`, in proportion to the weights: by largest remainders, ties to the
    first, after what is due less than 1 got 1. total: at least as many as there are weights.
    """
    found = dict.fromkeys(range(len(weights)), 1)
    shared, left = list(found), total
    while True:
        whole = sum(weights[k] for k in shared)
        small = [k for k in shared if weights[k] * left < whole]
        if not small:
            break
        shared, left = [k for k in shared if k not in small], left - len(small)
    found |= {k: weights[k] * left // whole for k in shared}
    shared.sort(key=lambda k: -(weights[k] * left % whole))
    for k in shared[: total - sum(found.values())]:
        found[k] += 1
    return list(found.values())
