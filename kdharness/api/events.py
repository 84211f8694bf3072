"""What the run events tell: kdharness_cell_started(cell), kdharness_epoch_finished(cell, epoch, values),
kdharness_cell_finished(record).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CellInfo:
    """A cell as event hooks see it. `key` is its identity; the rest are columns of results.csv."""

    key: str
    benchmark: str
    dataset: str
    scenario: str
    role: str
    method: str
    variant: str
    teacher: str
    student: str
    seed: int
