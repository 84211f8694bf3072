"""Where a run stands: what is done, what is running and how fast. Plain data for the display and for progress.json."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from kdharness.api.executors import CellAborted, CellFinished, CellStarted, EpochFinished, Event
from kdharness.planning.cell import Cell
from kdharness.planning.cell_group import CellGroup
from kdharness.protocol.benchmark import STANDARD
from kdharness.results.record import Status


@dataclass
class RunningGroup:
    """A job at work. stepping: the cell last heard of; epochs: by key, epochs done and to do."""

    cells: dict[str, Cell]
    stepping: str = ""
    epochs: dict[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """What the cells have in common: 'digits seed 0', one cell's label when it is alone."""
        first, *others = self.cells.values()
        if not others:
            return first.label
        scenario = "" if first.scenario == "clean" else f" {first.scenario}"
        scenario += "" if first.recipe_name in ("", STANDARD) else f" {first.recipe_name}"
        pairs = dict.fromkeys(c.shown_pair for c in self.cells.values())
        pair = next(iter(pairs)) if len(pairs) == 1 else f"{len(pairs)} pairs"
        return f"{pair} {first.dataset}{scenario} seed {first.seed}"

    @property
    def methods(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(cell.method for cell in self.cells.values()))

    @property
    def epoch(self) -> tuple[int, int]:
        """Epochs done and to do, of the cell that is furthest behind; (0, 0) before the first epoch's end."""
        known = [self.epochs[key] for key in self.cells if key in self.epochs]
        return min(known, key=lambda e: e[0] / max(e[1], 1)) if known else (0, 0)

    @property
    def share_done(self) -> float:
        """How many cells' work is done: 12 cells at half their epochs are 6."""
        return sum(e / max(n, 1) for key, (e, n) in self.epochs.items() if key in self.cells)

    def to_json(self) -> dict[str, Any]:
        epoch, epochs = self.epoch
        return {
            "cells": list(self.cells),
            "stepping": self.stepping,
            "label": self.label,
            "methods": list(self.methods),
            "epoch": epoch,
            "epochs": epochs,
        }


class Tally:
    """Counts what a run does. total: of planned cells; counts: of those that ended, now or before, by status."""

    def __init__(self, total: int, counts: Counter[Status], clock: Callable[[], float] = time.monotonic) -> None:
        self.total = total
        self.counts = Counter(counts)
        self.groups: dict[int, RunningGroup] = {}
        self._clock = clock
        self._started = clock()
        self._ended_here = 0
        self._images = 0

    @property
    def done(self) -> int:
        return sum(self.counts.values())

    @property
    def seconds(self) -> float:
        """Seconds since the run began."""
        return self._clock() - self._started

    @property
    def images_per_second(self) -> float | None:
        """Training images that all cells saw in this run, by its time so far; None before the first epoch's end."""
        return self._images / self.seconds if self._images and self.seconds > 0 else None

    @property
    def seconds_left(self) -> float | None:
        """If cells go on as they went; None before the first epoch's end."""
        partly = sum(group.share_done for group in self.groups.values())
        work = self._ended_here + partly
        return self.seconds * max(0.0, self.total - self.done - partly) / work if work > 0 else None

    def begin(self, group: CellGroup) -> None:
        self.groups[group.number] = RunningGroup({cell.key: cell for cell in group.cells})

    def note(self, event: Event) -> None:
        """Notes what a worker said of a cell that goes on or leaves its group."""
        group = self.groups.get(event.job)
        match event:
            case CellStarted(key=key) if group:
                group.stepping = key
            case EpochFinished() if group:
                group.stepping = event.key
                group.epochs[event.key] = (event.epoch, event.epochs)
                self._images += event.images
            case CellAborted(key=key) | CellFinished(key=key):
                self._leave(event.job, key)

    def drop(self, job: int) -> None:
        """The job's end."""
        self.groups.pop(job, None)

    def count(self, status: Status) -> None:
        self.counts[status] += 1
        # What was not run took no time that could foretell any.
        self._ended_here += status is not Status.NOT_RUN

    def reopen(self, cells: int) -> None:
        """So many cells that counted as ok are to be run again."""
        self.counts[Status.OK] -= cells

    def _leave(self, job: int, key: str) -> None:
        group = self.groups.get(job)
        if group is not None:
            group.cells.pop(key, None)
            if not group.cells:
                del self.groups[job]

    def to_json(self) -> dict[str, Any]:
        return {
            "done": self.done,
            "total": self.total,
            "counts": {status.value: self.counts[status] for status in Status if self.counts[status]},
            "running": [group.to_json() for group in self.groups.values()],
            "images_per_second": self.images_per_second,
            "seconds_left": self.seconds_left,
        }
