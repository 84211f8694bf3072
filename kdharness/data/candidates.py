"""Candidates: private images that a coin makes members of the teachers' training data, or nobody's.

Where membership is a coin, an attacker's guesses can be counted, and members differ from the others in nothing else.
Some candidates are canaries: training sees them with a wrong label, which a network can only know by heart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kdharness.protocol.coins import coins
from kdharness.protocol.seeds import stream


@dataclass(frozen=True)
class Candidates:
    """Those of one draw. rows: int64 [n], positions in the training split, ascending; members, canaries: bool [n]."""

    rows: NDArray[np.int64]
    members: NDArray[np.bool_]
    canaries: NDArray[np.bool_]

    @property
    def left_out(self) -> NDArray[np.int64]:
        """The rows that nobody trains on."""
        return self.rows[~self.members]


def draw(scenario: Mapping[str, Any], private: NDArray[np.int64]) -> Candidates:
    """The candidates among private images. The scenario's seed says which they are, its coin who is a member."""
    drawn = np.array(coins(scenario, len(private)), dtype=bool)
    order = np.random.default_rng(stream("candidates", scenario["seed"])).permutation(private)[: len(drawn)]
    wrong = np.arange(len(drawn)) < scenario.get("canaries", 0)
    by_row = np.argsort(order)
    return Candidates(order[by_row], drawn[by_row], wrong[by_row])


def mislabelled(
    targets: NDArray[np.int64], found: Candidates, num_classes: int, scenario: Mapping[str, Any]
) -> NDArray[np.int64]:
    """The labels, those of canaries another class uniformly: the same one in every draw, member or not."""
    rows = found.rows[found.canaries]
    if not len(rows):
        return targets
    generator = np.random.default_rng(stream("canaries", scenario["seed"]))
    changed = targets.copy()
    changed[rows] = (targets[rows] + generator.integers(1, num_classes, len(rows))) % num_classes
    return changed
