"""Jobs, events and what an executor is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from kdharness.training.job import (
    Beat,
    CellAborted,
    CellFinished,
    CellStarted,
    Emit,
    EpochFinished,
    Event,
    Job,
    JobFinished,
    JobLost,
    TrainGroup,
    WorkerError,
    WorkerSettings,
)


class Executor(Protocol):
    """Runs jobs somewhere. A plugin's factory is called with WorkerSettings."""

    slots: int

    def submit(self, job: Job) -> None:
        """Starts the job in a free slot. JobFinished, JobLost or WorkerError frees it again."""

    def events(self, timeout_seconds: float) -> Iterable[Event]:
        """What happened since the last call; waits up to the timeout for the first."""

    def stop(self) -> None:
        """Ends all workers now. Cells they were at stay `interrupted` on disk, with their last checkpoint."""


__all__ = [
    "Beat",
    "CellAborted",
    "CellFinished",
    "CellStarted",
    "Emit",
    "EpochFinished",
    "Event",
    "Executor",
    "Job",
    "JobFinished",
    "JobLost",
    "TrainGroup",
    "WorkerError",
    "WorkerSettings",
]
