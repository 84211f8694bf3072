"""Runs groups in this very process, one after the other: for debuggers and profilers."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from kdharness.api.executors import Event, Job, JobLost, WorkerError, WorkerSettings, run_job


class InlineExecutor:
    """One slot on the first device. A job runs within the call of `events` that follows its submission.

    Breakpoints work and Ctrl-C passes through. A cell that brings the process down brings the run down, so does a lost
    device, and none is called hung: there is nobody to watch.
    """

    slots = 1

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._jobs: deque[Job] = deque()

    def submit(self, job: Job) -> None:
        self._jobs.append(job)

    def events(self, timeout_seconds: float) -> Iterable[Event]:
        if not self._jobs:
            return []
        events: list[Event] = []
        device = self._settings.devices[0]
        events.append(_ended(run_job(self._jobs.popleft(), self._settings, device, events.append, _no_beat)))
        return events

    def stop(self) -> None:
        self._jobs.clear()


def _ended(event: Event) -> Event:
    """The event; one that stops the run in place of a lost device, for this process can train nothing more."""
    if not isinstance(event, JobLost):
        return event
    message = f"device lost: {event.cause}; with --executor local each cell of its group is tried again by itself"
    return WorkerError(event.job, "DeviceLost", message, "", fatal=True)


def _no_beat(cell: int | None) -> None:
    """Nobody watches."""
