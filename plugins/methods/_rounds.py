"""RONA's phases, which come in rounds, and how they share the epochs of a recipe (see rona.py)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Stretch(NamedTuple):
    """A phase to be; iteration: its round, from 0, or -1 before the first."""

    name: str
    iteration: int
    epochs: int


@dataclass(frozen=True)
class Schedule:
    """Lengths in epochs. Round it, from 0, has `distill` and then max(self_learning - decay it, 1) of self-learning.

    hint, warm: before the first round.
    rounds: how many.
    """

    hint: int
    warm: int
    rounds: int
    distill: int
    self_learning: int
    decay: int

    def stretches(self) -> list[Stretch]:
        """As published, in their order, but for those of no epochs."""
        found = [Stretch("hint", -1, self.hint), Stretch("warm", -1, self.warm)]
        for it in range(self.rounds):
            own = max(self.self_learning - self.decay * it, 1) if self.self_learning else 0
            found += [Stretch("distill", it, self.distill), Stretch("self", it, own)]
        return [s for s in found if s.epochs]

    def scaled(self, epochs: int) -> list[Stretch]:
        """The stretches, in proportion, so that they sum to `epochs`, at least one each.

        Too few epochs for that lose the last rounds, then self-learning before the first round, then hints, and at one
        epoch self-learning altogether.
        """
        kept = affordable(self.stretches(), epochs)
        lengths = apportioned([s.epochs for s in kept], epochs)
        return [s._replace(epochs=n) for s, n in zip(kept, lengths, strict=True)]


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
