"""Cells, plans and a group trainer without torch. A cell does what its method's name says: dies, hangs, raises."""

from __future__ import annotations

import errno
import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from kdharness.api.executors import (
    Beat,
    CellAborted,
    CellFinished,
    CellStarted,
    Emit,
    EpochFinished,
    Event,
    Job,
    WorkerSettings,
    WorkerWarning,
)
from kdharness.api.requirements import Pair
from kdharness.errors import DeviceLost
from kdharness.execution import worker
from kdharness.planning.cell import STUDENT, TEACHER, Cell, TeacherSource, digest
from kdharness.planning.cell_group import CellGroup
from kdharness.planning.plan import Plan, PlannedCell
from kdharness.results.record import Record, Status
from kdharness.results.store import ResultsFolder
from kdharness.weights.digests import sha256_of

RUNNER = "fake_groups:run_job"
EPOCHS = 3

# In a group of more cells than this, the method's cell runs out of memory.
MOST_CELLS = {"aborts": 0, "needs_half": 2}


def make_cell(method: str = "kd", seed: int = 0, teachers: tuple[Cell, ...] = (), **changes: Any) -> Cell:
    """A cell of a made-up benchmark, with a true key."""
    role = changes.pop("role", STUDENT)
    student = changes.pop("student", "conv16")
    dataset = changes.pop("dataset", "digits")
    document = {
        "dataset": {"name": dataset},
        "scenario": {"name": "clean"},
        "recipe": {"epochs": EPOCHS},
        "subset": "train",
        "evaluation": {"validation": 0},
        "role": role,
        "method": {"name": method},
        "student": {"name": student},
        "seed": seed,
        "teachers": [{"name": t.student, "cell": t.key} for t in teachers],
    }
    document.update(changes)
    return Cell(
        key=digest(document),
        benchmark="made_up",
        protocol="p",
        deviations="",
        dataset=dataset,
        dataset_parameters={},
        scenario="clean",
        role=role,
        method=method,
        variant="",
        parameters={},
        method_package="kdharness",
        method_revision="1",
        pair=Pair(tuple(t.student for t in teachers), student),
        teachers=tuple(TeacherSource(t.student, t.key) for t in teachers),
        seed=seed,
        regime="",
        document=document,
    )


def make_teacher(student: str = "conv32", method: str = "vanilla", seed: int = 0) -> Cell:
    return make_cell(method, seed, role=TEACHER, student=student)


def make_plan(*cells: Cell, skip: tuple[tuple[Cell, str], ...] = ()) -> Plan:
    reasons = {cell.key: reason for cell, reason in skip}
    return Plan("made_up", tuple(PlannedCell(cell, reasons.get(cell.key, "")) for cell in cells))


def make_settings(folder: Path, slots: int = 1, **changes: Any) -> WorkerSettings:
    return replace(WorkerSettings(folder=folder, data_root=folder, devices=("cpu",) * slots), **changes)


def run_job(job: Job, settings: WorkerSettings, device: str, emit: Emit, beat: Beat) -> Event:
    return worker.train_job(job, settings, device, emit, beat, lambda: train_group)


def train_group(job: CellGroup, settings: WorkerSettings, device: str, emit: Emit, beat: Beat) -> str:
    """Trains the cells in lockstep, as their methods' names say."""
    folder = ResultsFolder(settings.folder)
    settings.folder.mkdir(parents=True, exist_ok=True)
    for cell in job.cells:
        folder.write_record(Record(cell, Status.INTERRUPTED, attempts=job.attempts[cell.key], started_at="then"))
        emit(CellStarted(job.number, cell.key))
        if cell.method == "warns":
            emit(WorkerWarning(job.number, "dataset 'digits': odd images"))
            emit(WorkerWarning(job.number, "dataset 'digits': odd labels"))
    # After the records: whoever waits for this line may end the run at once, and finds them.
    with (settings.folder / "jobs.txt").open("a") as file:
        file.write(f"{os.getpid()} {job.alone} {' '.join(cell.method for cell in job.cells)}\n")
    left = dict(enumerate(job.cells))
    for epoch in range(1, EPOCHS + 1):
        for index, cell in list(left.items()):
            beat(index)
            record = _step(cell, job, epoch, settings, emit, beat)
            if record is not None:
                del left[index]
                _finish(folder, record, job, emit)
            elif cell.method == "changes" and len(job.cells) > 1:
                for other in left.values():
                    emit(CellAborted(job.number, other.key, "somebody changed the batch", alone=True))
                return ""
            elif len(job.cells) > MOST_CELLS.get(cell.method, len(job.cells)):
                del left[index]
                emit(CellAborted(job.number, cell.key, "no memory"))
            else:
                emit(EpochFinished(job.number, cell.key, epoch, EPOCHS, 100, {"ce": 1 / epoch}))
    for cell in left.values():
        values = {"top1": 96.125, "train_seconds": 1.44, "x_environment": os.environ.get("OMP_NUM_THREADS", "")}
        _finish(folder, Record(cell, Status.OK, values, attempts=job.attempts[cell.key]), job, emit)
    return "a switch" if any(cell.method == "spoils" for cell in job.cells) else ""


def _finish(folder: ResultsFolder, record: Record, job: CellGroup, emit: Emit) -> None:
    sources = {key: sha256_of(folder.cell(key).model) for key in record.cell.requires}
    record = replace(record, sources=sources)
    if record.cell.role == TEACHER:
        path = folder.cell(record.cell.key).model
        path.write_bytes(os.urandom(8) if record.cell.method == "drifts" else b"weights")
    folder.write_record(record)
    if record.cell.method == "dies_at_its_end" and record.attempts == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    emit(CellFinished(job.number, record.cell.key, record.status.value, record.error_message))


def _step(cell: Cell, job: CellGroup, epoch: int, settings: WorkerSettings, emit: Emit, beat: Beat) -> Record | None:
    first_time = job.attempts[cell.key] == 1
    match cell.method:
        case "fails":
            return Record(cell, Status.FAILED, error_type="ValueError", error_message="no good\nat all", attempts=1)
        case "dies" if epoch == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        case "dies_once" if epoch == 2 and first_time:
            os._exit(3)
        case "dies_nowhere":
            beat(None)
            os._exit(4)
        case "hangs" if epoch == 2:
            time.sleep(600)
        case "stubborn":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            (settings.folder / "stubborn").touch()
            time.sleep(600)
        case "loses_device" if epoch == 2:
            raise DeviceLost("device-side assert triggered")
        case "loses_device_once" if epoch == 2 and first_time:
            raise DeviceLost("device-side assert triggered")
        case "raises":
            raise RuntimeError("the data cannot be read")
        case "fills_disk":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        case "interrupts":
            raise KeyboardInterrupt
        case "prints":
            print("a plugin's chatter")
    return None


class Events:
    """Stands for the registry: keeps what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.deaf = False

    def listens(self, event: str) -> bool:
        return not self.deaf

    def fire(self, event: str, **values: Any) -> list[str]:
        self.told.append((event, values))
        return []

    def names(self) -> list[str]:
        return [name for name, _ in self.told]


def jobs_seen(folder: Path) -> list[tuple[int, bool, list[str]]]:
    """Every job that a worker began: its process, whether it was `alone`, its methods."""
    lines = (folder / "jobs.txt").read_text().splitlines()
    return [(int(pid), alone == "True", methods) for pid, alone, *methods in map(str.split, lines)]


def main(path: str, slots: str, *methods: str) -> None:
    """A run of its own process: `python fake_groups.py FOLDER SLOTS METHOD...`; prints what became of the cells."""
    from kdharness.execution.display import make_display
    from kdharness.execution.local import LocalExecutor
    from kdharness.execution.run import execute

    settings = make_settings(Path(path), int(slots))
    plan = make_plan(*(make_cell(method, seed) for seed, method in enumerate(methods)))
    folder, display = ResultsFolder(path), make_display()
    executor = LocalExecutor(settings)
    outcome = execute(plan, folder, settings, executor, Events(), display, runner=RUNNER)  # type: ignore[arg-type]
    print(outcome.exit_code, *(f"{status}={n}" for status, n in sorted(outcome.counts.items())))
    raise SystemExit(outcome.exit_code)


if __name__ == "__main__":
    import sys

    main(*sys.argv[1:])
