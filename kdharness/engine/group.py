"""Lockstep: the cells of a group train together, epoch by epoch, and each ends with a record of its own."""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from kdharness.api.executors import (
    Beat,
    CellAborted,
    CellFinished,
    CellStarted,
    Emit,
    EpochFinished,
    Job,
    WorkerSettings,
)
from kdharness.data.batches import PassRequest
from kdharness.device.clock import Timers
from kdharness.device.memory import is_out_of_memory
from kdharness.device.random import default_generators_kept
from kdharness.engine.checkpoint import Checkpoint, packed, save_weights
from kdharness.engine.loading import teachers_of
from kdharness.engine.lockstep import Lockstep
from kdharness.engine.trainee import Trainee
from kdharness.engine.world import World
from kdharness.errors import CellError, Contained, one_line
from kdharness.measure.outcome import final_numbers, save_predictions, top1
from kdharness.measure.predict import predict_together
from kdharness.planning.cell import Cell
from kdharness.registry.manager import Registry
from kdharness.results.record import Record, Status
from kdharness.results.store import ResultsFolder
from kdharness.text import timestamp

_worlds: dict[str, World] = {}


def train_group(job: Job, settings: WorkerSettings, device: str, emit: Emit, beat: Beat) -> None:
    """Trains the job's cells; every cell's record is on disk when its CellFinished is emitted."""
    key = f"{device} {settings}"
    if key not in _worlds:
        registry = Registry.load(settings.plugin_files)
        _worlds[key] = World(
            registry, ResultsFolder(settings.folder), settings.data_root, torch.device(device), settings.download
        )
    with default_generators_kept(torch.device(device)):
        Group(job, settings, _worlds[key], emit, beat).run()


class Group:
    """One job's cells, from their start to their records."""

    def __init__(self, job: Job, settings: WorkerSettings, world: World, emit: Emit, beat: Beat) -> None:
        self.job = job
        self.settings = settings
        self.world = world
        self.emit = emit
        self.beat = beat
        self.lockstep = Lockstep(Timers(world.device), self._fail_member, beat)
        self.members: list[Trainee] = []
        self.started: dict[str, str] = {}
        self.checkpoints: dict[str, Checkpoint] = {}

    def run(self) -> None:
        for number, cell in enumerate(self.job.cells):
            self._start(number, cell)
        while self.members:
            self._round()
        self.beat(None)

    # -- a cell's start -----------------------------------------------------------------------------------------------

    def _start(self, number: int, cell: Cell) -> None:
        """Builds the cell, or takes it up where its checkpoint left it."""
        self.started[cell.key] = timestamp()
        path = self.world.folder.checkpoint_path(cell.key)
        self.checkpoints[cell.key] = Checkpoint(path, self.settings.checkpoint_seconds)
        # Whatever kills the process from here on, this record is already true.
        self._write(cell, Status.INTERRUPTED, error_message="the run ended before this cell did")
        self.emit(CellStarted(self.job.number, cell.key))
        data = self.world.data(cell)
        self.beat(number)
        with Contained(lambda error: self._fail(cell, error)) as failed:
            self.world.check_plugins(cell)
            teachers = teachers_of(cell, self.world, data, self.settings.teacher_top1_floor)
            member = Trainee(cell, number, self.world, data, teachers, self.settings.metrics)
            state = self.checkpoints[cell.key].load()
            if state is not None:
                member.load_state_dict(state)
        if not failed:
            self.members.append(member)

    # -- one round: an epoch of every member --------------------------------------------------------------------------

    def _round(self) -> None:
        asked: dict[PassRequest, list[Trainee]] = {}
        for member in list(self.members):
            self.beat(member.number)
            with self._contained(member), self.lockstep.timers.charge(member.cell.key):
                asked.setdefault(member.request(), []).append(member)
        for request, members in asked.items():
            for member in self.lockstep.run(request, members):
                self._end_epoch(member, request)
        due: dict[str, list[Trainee]] = {}
        for member in self.members:
            if member.look_is_due:
                due.setdefault(member.data.key, []).append(member)
        for members in due.values():
            self._evaluate(members)
        for member in list(self.members):
            if member.finished:
                self._conclude(member)
            elif self.checkpoints[member.cell.key].due():
                self._save(member)

    def _save(self, member: Trainee) -> None:
        content = b""
        with self._contained(member) as failed:
            content = packed(member.state_dict())
        if not failed:  # what the disk refuses is no fault of the cell
            self.checkpoints[member.cell.key].save(content)

    def _end_epoch(self, member: Trainee, request: PassRequest) -> None:
        limit = self.settings.timeout_seconds
        with self._contained(member) as failed:
            values = member.end_epoch()
            if limit is not None and member.own_seconds > limit and not member.finished:
                took = f"its own steps took more than {limit:g} s"
                raise CellError("Timeout", f"{took}; it was in epoch {member.epoch} of {member.epochs}")
        if not failed:
            images = len(request.selection) or len(member.data.subsets[request.subset])
            self.emit(EpochFinished(self.job.number, member.cell.key, member.epoch, member.epochs, images, values))

    def _evaluate(self, members: Sequence[Trainee]) -> None:
        """Looks at the validation split, where there is one, and at the test split."""
        for member, logits in self._predictions(members, "validation"):
            accuracy = self._note(member, "validation", logits)
            with self._contained(member):
                member.keep_best(accuracy)
        for member, logits in self._predictions([m for m in members if m in self.members], "test"):
            self._note(member, "test", logits)
            member.test_logits = logits
        for member in [m for m in members if m in self.members and m.finished and m.best is not None]:
            with self._contained(member):
                member.restore_best()
            for _, logits in self._predictions([m for m in (member,) if m in self.members], "test"):
                member.test_logits = logits

    def _predictions(self, members: Sequence[Trainee], split: str) -> list[tuple[Trainee, dict[str, Tensor]]]:
        """Logits by predictor of each member that gives some; members share their data."""
        if not members:
            return []
        images, rows, _ = members[0].data.split(split)
        if not len(rows):
            return []
        found = []
        for member, logits in zip(members, predict_together(members, images, rows), strict=True):
            if isinstance(logits, Exception):
                self._fail_member(member, logits)
            else:
                found.append((member, logits))
        return found

    def _note(self, member: Trainee, split: str, logits: dict[str, Tensor]) -> float:
        """Adds each predictor's accuracy to the history; returns the main one's, in percent."""
        targets = member.data.split(split)[2]
        accuracies = {name: top1(values, targets) for name, values in logits.items()}
        member.history += [(member.epoch, split, name, "top1", value) for name, value in accuracies.items()]
        return next(iter(accuracies.values()))

    # -- a cell's end -------------------------------------------------------------------------------------------------

    def _conclude(self, member: Trainee) -> None:
        """Writes a finished cell's files, and its record last."""
        cell = member.cell
        with self._contained(member) as failed:
            values, rows, failures = final_numbers(member, member.test_logits, self.settings.metrics)
        if failed:
            return
        values["group_size"] = len(self.job.cells)
        folder = self.world.folder.cell_path(cell.key)
        if cell.key in self.settings.keep_weights:
            save_weights(self.world.folder.model_path(cell.key), member.student.network.state_dict())
        save_predictions(folder, member.test_logits, member.data.test_targets)
        self.world.folder.history_path(cell.key).unlink(missing_ok=True)  # of an earlier attempt
        self.world.folder.write_history(cell.key, member.history)
        self.members.remove(member)
        record = self._write(
            cell,
            Status.OK,
            values=values,
            metrics=tuple(rows),
            measured=tuple(name for name in self.settings.metrics if name not in failures),
            finished_at=timestamp(),
            **_told(failures),
        )
        self.checkpoints[cell.key].remove()
        self.emit(CellFinished(self.job.number, record))

    def _contained(self, member: Trainee) -> Contained:
        return Contained(lambda error: self._fail_member(member, error))

    def _fail_member(self, member: Trainee, error: Exception) -> None:
        """Takes the member out of the group."""
        if member in self.members:
            self.members.remove(member)
            self._fail(member.cell, error)

    def _fail(self, cell: Cell, error: Exception) -> None:
        """Writes why the cell ended; when memory ran out beside others, it is to be tried again alone instead."""
        status, kind = Status.FAILED, type(error).__name__
        if isinstance(error, CellError):
            kind = error.error_type
            status = Status.TIMEOUT if kind == "Timeout" else Status.FAILED
        if is_out_of_memory(error):
            status = Status.OOM
            if self.world.device.type == "cuda":
                torch.cuda.empty_cache()
            if len(self.job.cells) > 1:
                self.emit(CellAborted(self.job.number, cell.key, one_line(error)))
                return
        if status is not Status.TIMEOUT:
            self.checkpoints[cell.key].remove()
        trace = "".join(traceback.format_exception(error))
        record = self._write(
            cell, status, error_type=kind, error_message=one_line(error), traceback=trace, finished_at=timestamp()
        )
        self.emit(CellFinished(self.job.number, record))

    def _write(self, cell: Cell, status: Status, **rest: object) -> Record:
        attempts = self.job.attempts.get(cell.key, 1)
        record = Record(cell=cell, status=status, started_at=self.started[cell.key], attempts=attempts, **rest)  # type: ignore[arg-type]
        self.world.folder.write_record(record)
        return record


def _told(failures: Mapping[str, Exception]) -> dict[str, str]:
    """What a finished cell's record says of metrics that raised."""
    if not failures:
        return {}
    messages = [f"metric '{name}' was not measured: {one_line(error)}" for name, error in failures.items()]
    traces = ["".join(traceback.format_exception(error)) for error in failures.values()]
    return {"error_type": "MetricError", "error_message": "; ".join(messages), "traceback": "\n".join(traces)}
