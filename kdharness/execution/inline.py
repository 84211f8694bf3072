"""Runs groups in this very process, one after the other: for debuggers and profilers."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from kdharness.api.executors import TRAIN_GROUP, Event, Job, WorkerSettings
from kdharness.execution.worker import run_job


class InlineExecutor:
    """One slot on the first device. A job runs within the call of `events` that follows its submission.

    Breakpoints work and Ctrl-C passes through. A cell that brings the process down brings the run down, and none is
    called hung: there is nobody to watch.
    """

    slots = 1

    def __init__(self, settings: WorkerSettings, target: str = TRAIN_GROUP) -> None:
        self._settings = settings
        self._target = target
        self._jobs: deque[Job] = deque()

    def submit(self, job: Job) -> None:
        self._jobs.append(job)

    def events(self, timeout_seconds: float) -> Iterable[Event]:
        if not self._jobs:
            return []
        events: list[Event] = []
        device = self._settings.devices[0]
        events.append(run_job(self._jobs.popleft(), self._settings, device, self._target, events.append, _no_beat))
        return events

    def stop(self) -> None:
        self._jobs.clear()


def _no_beat(cell: int | None) -> None:
    """Nobody watches."""
