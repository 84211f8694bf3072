"""What passes between a run, an executor and its workers. All of it is plain data, and none of it needs torch.

An executor takes jobs and reports events. Where a job runs, the function named by TRAIN_GROUP is imported and called
with the job,
the WorkerSettings, a device name, a function that takes events, and one that takes heartbeats.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from kdharness.planning.cell import Cell
    from kdharness.results.record import Record

# "module:function" of the TrainGroup that a worker calls for each job.
TRAIN_GROUP = "kdharness.engine.group:train_group"


@dataclass(frozen=True)
class WorkerSettings:
    """What every worker of a run knows.

    folder: the benchmark's results folder; devices: one name per slot ("cpu"); plugin_files: of --plugin;
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
    """One group: cells that a worker trains together. alone: the suspect of a group that died; what fails it now is
    final.
    """

    number: int
    cells: tuple[Cell, ...]
    attempts: Mapping[str, int]
    alone: bool = False


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
    """The record is on disk already."""

    job: int
    record: Record


@dataclass(frozen=True)
class CellAborted:
    """The cell left its group because memory ran out beside others: to be tried again alone before it is called oom."""

    job: int
    key: str
    reason: str


@dataclass(frozen=True)
class JobFinished:
    """Every cell of the job was reported, and the slot is free."""

    job: int


@dataclass(frozen=True)
class JobLost:
    """The worker died or was killed for hanging. suspect: the cell it was stepping, '' when it was at none.

    cause: in words ("killed by signal 11 (SIGSEGV)"). out_of_memory: known to have been killed for lack of memory.
    """

    job: int
    suspect: str
    cause: str
    timed_out: bool = False
    out_of_memory: bool = False


@dataclass(frozen=True)
class WorkerError:
    """The worker met an error that belongs to no cell (a bug, or data that cannot be read).

    fatal: nothing more can be written (a full disk): the run stops and fails no cell for it.
    """

    job: int
    error_type: str
    message: str
    traceback: str
    fatal: bool = False


Event = CellStarted | EpochFinished | CellFinished | CellAborted | JobFinished | JobLost | WorkerError


class Beat(Protocol):
    """How a worker says which cell it is stepping; cheap enough for every step. None: at no cell."""

    def __call__(self, cell: int | None) -> None: ...


Emit = Callable[[Event], None]
TrainGroup = Callable[[Job, WorkerSettings, str, Emit, Beat], None]


class Executor(Protocol):
    """Runs jobs somewhere. A plugin's factory is called with WorkerSettings."""

    slots: int

    def submit(self, job: Job) -> None:
        """Starts the job in a free slot. JobFinished, JobLost or WorkerError frees it again."""

    def events(self, timeout_seconds: float) -> Iterable[Event]:
        """What happened since the last call; waits up to the timeout for the first."""

    def stop(self) -> None:
        """Ends all workers now. Cells they were at stay `interrupted` on disk, with their last checkpoint."""
