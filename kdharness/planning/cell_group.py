"""Cells that train together, and the job that carries them to a worker, closed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from kdharness.api.executors import Job
from kdharness.planning.cell import Cell

# What cells of one group have in common: they then draw the same batches and are evaluated on the same samples.
SHARED = ("dataset", "scenario", "recipe", "subset", "evaluation")


@dataclass(frozen=True)
class CellGroup:
    """Cells that a worker trains together.

    number: of its job.
    cells: in the order in which a heartbeat counts them.
    attempts: by key, how often a cell was handed out, this time included.
    alone: whether this is the second try of one cell, whose failure is final.
    """

    number: int
    cells: tuple[Cell, ...]
    attempts: Mapping[str, int] = field(default_factory=dict)
    alone: bool = False

    def job(self, runner: str) -> Job:
        """The group as an executor gets it. runner: 'module:function' of what opens and trains it."""
        return Job(
            number=self.number,
            keys=tuple(cell.key for cell in self.cells),
            labels=tuple(cell.label for cell in self.cells),
            attempts=dict(self.attempts),
            alone=self.alone,
            payload=json.dumps([cell.to_json() for cell in self.cells]),
            runner=runner,
        )

    @classmethod
    def of(cls, job: Job) -> CellGroup:
        """The group that a job carries."""
        cells = tuple(Cell.from_json(data) for data in json.loads(job.payload))
        return cls(job.number, cells, job.attempts, job.alone)
