"""What an executor's author imports, beside `hookimpl` and `ExecutorSpec` of `kdharness.api`. It loads no torch.

An executor takes jobs and reports events. A job is a group of cells, closed: the executor sees their keys and labels,
and brings the job, as it is, to a process that calls `run_job`. Jobs, settings and events are plain data, and can be
pickled.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

# 'module:function' of `run_job`, for what starts a process by the name of the function that it is to call.
TRAIN_GROUP = f"{__name__}:run_job"


@dataclass(frozen=True)
class WorkerSettings:
    """What every worker of a run knows.

    folder: the benchmark's results folder; devices: of each slot, as torch names it; plugin_files: of --plugin;
    timeout_seconds: limit on one cell's own time, None for none;
    checkpoint_seconds: least time between two checkpoints of a cell; keep_weights: keys of the cells whose weights
    are written;
    teacher_top1_floor: percent that a teacher from a file must reach on the test split, None for twice what chance
    gives.
    """

    folder: Path
    data_root: Path
    devices: tuple[str, ...]
    download: bool = False
    plugin_files: tuple[Path, ...] = ()
    metrics: tuple[str, ...] = ()
    timeout_seconds: float | None = None
    teacher_top1_floor: float | None = None
    checkpoint_seconds: float = 30.0
    keep_weights: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Job:
    """A group of cells that one worker trains together.

    number: the run's own; keys, labels: of the cells, in the order in which a heartbeat counts them;
    attempts: by key, how often the cell was handed out, this time included;
    alone: a second try of one cell; what fails it now is final;
    payload, runner: the cells, and the 'module:function' that trains them; `run_job` alone reads these.
    """

    number: int
    keys: tuple[str, ...]
    labels: tuple[str, ...]
    attempts: Mapping[str, int]
    alone: bool = False
    payload: str = field(default="", repr=False)
    runner: str = ""

    @property
    def weight(self) -> int:
        """How much there is to do, as a number of cells."""
        return len(self.keys)


@dataclass(frozen=True)
class CellStarted:
    job: int
    key: str


@dataclass(frozen=True)
class EpochFinished:
    """values: the method's curves and the mean loss terms; images: seen in this epoch; epoch counts from 1 over all
    phases.
    """

    job: int
    key: str
    epoch: int
    epochs: int
    images: int
    values: Mapping[str, float]


@dataclass(frozen=True)
class CellFinished:
    """The cell ended, and its record is on disk. status: of results.csv; message: why it is not "ok"."""

    job: int
    key: str
    status: str
    message: str = ""


@dataclass(frozen=True)
class CellAborted:
    """The cell left its group because memory ran out beside others: to be tried again among fewer."""

    job: int
    key: str
    reason: str


@dataclass(frozen=True)
class JobFinished:
    """Every cell of the job was reported, and the slot is free."""

    job: int


@dataclass(frozen=True)
class JobLost:
    """The worker died, was killed for hanging, or must end. The slot is free; the next job needs a new process.

    suspect: the key of the cell that it was stepping, '' when it was at none. cause: in words ("killed by signal 11").
    traceback: where it is known.
    out_of_memory: known to have been killed for lack of memory. device_lost: the accelerator reported an error after
    which nothing in the process can be trusted; `run_job` returns this one itself, and it belongs to no cell.
    """

    job: int
    suspect: str
    cause: str
    timed_out: bool = False
    out_of_memory: bool = False
    device_lost: bool = False
    traceback: str = ""


@dataclass(frozen=True)
class WorkerError:
    """The worker met an error that belongs to no cell (a bug, or data that cannot be read). The slot is free.

    fatal: nothing more can be written (a full disk), or no further job can run: the run stops and fails no cell.
    on_accelerator: met on one; its errors can surface later than where they were made, so the next job needs a new
    process.
    """

    job: int
    error_type: str
    message: str
    traceback: str
    fatal: bool = False
    on_accelerator: bool = False


Event = CellStarted | EpochFinished | CellFinished | CellAborted | JobFinished | JobLost | WorkerError


class Beat(Protocol):
    """How a worker says which cell it is stepping, by its place in the job; cheap enough for every step. None: at no
    cell.
    """

    def __call__(self, cell: int | None) -> None: ...


Emit = Callable[[Event], None]
Runner = Callable[[Job, WorkerSettings, str, Emit, Beat], Event]


def run_job(job: Job, settings: WorkerSettings, device: str, emit: Emit, beat: Beat) -> Event:
    """Trains the job in this process, and returns the event that ends it: JobFinished, WorkerError or JobLost.

    emit: takes the events before that one, as they happen. beat: takes heartbeats.
    After JobLost, or a WorkerError on an accelerator, this process must train nothing more.
    """
    module, _, name = job.runner.partition(":")
    runner: Runner = getattr(importlib.import_module(module), name)
    return runner(job, settings, device, emit, beat)


class Executor(Protocol):
    """Runs jobs somewhere. A plugin's factory is called with WorkerSettings."""

    slots: int

    def submit(self, job: Job) -> None:
        """Starts the job in a free slot. JobFinished, JobLost or WorkerError frees it again."""

    def events(self, timeout_seconds: float) -> Iterable[Event]:
        """What happened since the last call; waits up to the timeout for the first."""

    def stop(self) -> None:
        """Ends all workers now. Cells they were at stay `interrupted` on disk, with their last checkpoint."""
