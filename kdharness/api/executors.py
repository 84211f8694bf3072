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
class TeacherUse:
    """How often a teacher would run over its images in a run. Counts are of epochs.

    teacher: its identity.
    online: without tables of what it says.
    maps: for methods that read its maps, which no table holds.
    apart: for seeds and recipes whose methods read none, each once.
    """

    teacher: str
    online: int
    maps: int
    apart: int


@dataclass(frozen=True)
class WorkerSettings:
    """What every worker of a run knows.

    folder: the benchmark's results folder.
    data_root: the folder of all data.
    devices: of each slot, as torch names it.
    download: whether the network may be used for data.
    plugin_files: of --plugin.
    metrics: names of those to compute.
    timeout_seconds: limit on one cell's own time; None for none.
    teacher_top1_floor: percent that a teacher from a file must reach on test; None for chance and a tenth of the rest.
    teacher_claims: "dataset/model" and percent: what a file of that teacher is said to reach on test, and must, within
        0.3 points.
    checkpoint_seconds: least time between two checkpoints of a cell.
    keep_weights: keys of the cells whose weights are written.
    lock: the inode of the folder's lock, by which workers know the folder again; 0 where nobody holds it.
    teachers: how often each teacher would run, by which workers decide whether to keep what it says.
    """

    folder: Path
    data_root: Path
    devices: tuple[str, ...]
    download: bool = False
    plugin_files: tuple[Path, ...] = ()
    metrics: tuple[str, ...] = ()
    timeout_seconds: float | None = None
    teacher_top1_floor: float | None = None
    teacher_claims: tuple[tuple[str, float], ...] = ()
    checkpoint_seconds: float = 30.0
    keep_weights: frozenset[str] = frozenset()
    lock: int = 0
    teachers: tuple[TeacherUse, ...] = ()


@dataclass(frozen=True)
class Job:
    """A group of cells that one worker trains together.

    number: the run's own.
    keys: of the cells, in the order in which a heartbeat counts them.
    labels: of the cells, for people, in the same order.
    attempts: by key, how often the cell was handed out, this time included.
    alone: whether this is the second try of one cell, whose failure is final.
    payload: the cells; `run_job` alone reads it.
    runner: the 'module:function' that trains them; `run_job` alone reads it.
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
    """The cell begins to train, or goes on from its checkpoint.

    job: the job's number, as in every event.
    key: the cell's.
    """

    job: int
    key: str


@dataclass(frozen=True)
class EpochFinished:
    """The cell ended an epoch.

    job: the job's number.
    key: the cell's.
    epoch: counted from 1 over all phases.
    epochs: of the whole training.
    images: training images seen in this epoch.
    values: the mean of each loss term, and the method's curves.
    """

    job: int
    key: str
    epoch: int
    epochs: int
    images: int
    values: Mapping[str, float]


@dataclass(frozen=True)
class CellFinished:
    """The cell ended, and its record is on disk.

    job: the job's number.
    key: the cell's.
    status: as in results.csv.
    message: why it is not "ok".
    """

    job: int
    key: str
    status: str
    message: str = ""


@dataclass(frozen=True)
class CellAborted:
    """The cell left its group because memory ran out: it is to be tried again among fewer.

    job: the job's number.
    key: the cell's.
    reason: the error's message.
    alone: it is to be tried by itself, for some cell of its group changed what they share, and nobody knows which.
    """

    job: int
    key: str
    reason: str
    alone: bool = False


@dataclass(frozen=True)
class JobFinished:
    """Every cell of the job was reported, and the slot is free.

    job: the job's number.
    spoiled: what a cell changed of what all cells of its process share (a backend's switch, a function of torch); ''
        for nothing. It failed, and what it changed was put back; the next job is better off in a new process.
    """

    job: int
    spoiled: str = ""


@dataclass(frozen=True)
class JobLost:
    """The worker died, was killed for hanging, or must end. The slot is free; the next job needs a new process.

    job: the job's number.
    suspect: the key of the cell that it was stepping; '' when it was at none.
    cause: in words ("killed by signal 11").
    timed_out: it was killed because it gave no sign for too long.
    out_of_memory: the system killed it for lack of memory.
    device_lost: the accelerator reported an error after which nothing in the process can be trusted. It belongs to no
        cell. `run_job` returns this one itself.
    traceback: where it is known.
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
    """The worker met an error that belongs to no cell: a bug, or data that cannot be read. The slot is free.

    job: the job's number.
    error_type: the error's class.
    message: the error's.
    traceback: all of it.
    fatal: no further job can run, or nothing more can be written (a full disk). The run stops and fails no cell.
    on_accelerator: it was met on one. Such errors can surface later than they were made, so the next job needs a new
        process.
    """

    job: int
    error_type: str
    message: str
    traceback: str
    fatal: bool = False
    on_accelerator: bool = False


@dataclass(frozen=True)
class WorkerWarning:
    """The worker has something to say that fails no cell. The run says it once, whoever met it.

    job: the job's number.
    message: one line.
    """

    job: int
    message: str


Event = CellStarted | EpochFinished | CellFinished | CellAborted | JobFinished | JobLost | WorkerError | WorkerWarning


class Beat(Protocol):
    """How a worker says which cell it is stepping: its place in the job, or None. Cheap enough for every step."""

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
    """Runs jobs somewhere. A plugin's factory is called with WorkerSettings.

    slots: how many jobs may run at a time.
    """

    slots: int

    def submit(self, job: Job) -> None:
        """Starts the job in a free slot. JobFinished, JobLost or WorkerError frees it again."""

    def events(self, timeout_seconds: float) -> Iterable[Event]:
        """What happened since the last call; waits up to the timeout for the first."""

    def stop(self) -> None:
        """Ends all workers now, or after the epoch that they are at where that is soon. Cells they were at stay
        `interrupted` on disk, with their last checkpoint.
        """
