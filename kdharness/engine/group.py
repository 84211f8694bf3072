"""The cells of a group train together, epoch by epoch, and each ends with a record of its own."""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor

from kdharness.api.executors import (
    Beat,
    CellAborted,
    CellFinished,
    CellStarted,
    Emit,
    EpochFinished,
    WorkerSettings,
    WorkerWarning,
)
from kdharness.data.batches import BatchRequest
from kdharness.device.random import default_generators_kept
from kdharness.device.torch_settings import spoiled
from kdharness.engine.builder import build
from kdharness.engine.checkpoint import Checkpoint, packed, packed_weights, save_arrays
from kdharness.engine.guard import Guard
from kdharness.engine.lockstep import Lockstep
from kdharness.engine.member import Member
from kdharness.engine.stopping import stop_request
from kdharness.engine.teachers import WEIGHTS_CHANGED, check_teachers
from kdharness.engine.world import World, world_of
from kdharness.errors import CellError, Contained, DeviceLost, EpochVoid
from kdharness.failures import links, one_line, trace_of
from kdharness.measure.audit import audit_of
from kdharness.measure.evaluate import predict_together, top1
from kdharness.measure.outcome import final_numbers
from kdharness.measure.predict import once
from kdharness.measure.stored import prediction_arrays
from kdharness.planning.cell import Cell
from kdharness.planning.cell_group import CellGroup
from kdharness.results.audits import write_audit
from kdharness.results.begun import begin_epoch
from kdharness.results.files import write_atomic
from kdharness.results.history import write_history
from kdharness.results.record import Record, Status
from kdharness.text import timestamp

# What a cell that ended with such an error is, other than failed.
OWN_STATUS = {"Timeout": Status.TIMEOUT, WEIGHTS_CHANGED: Status.INTERRUPTED}


def train_group(job: CellGroup, settings: WorkerSettings, device: str, emit: Emit, beat: Beat) -> str:
    """Trains the group's cells; every cell's record is on disk when its CellFinished is emitted.

    Returns what some cell changed of what the process' cells share, '' for nothing.
    DeviceLost when the device does not work in this process any more.
    """
    world = world_of(settings, device)
    try:
        with default_generators_kept(world.device.default_generators()):
            Group(job, settings, world, emit, beat).run()
    except BaseException as error:
        if world.device.is_fatal(error):
            raise DeviceLost(one_line(error)) from error
        raise
    return spoiled()


class Group:
    """One job's cells, from their start to their records."""

    def __init__(self, job: CellGroup, settings: WorkerSettings, world: World, emit: Emit, beat: Beat) -> None:
        self.job = job
        self.settings = settings
        self.world = world
        self.emit = emit
        self.beat = beat
        self.lockstep = Lockstep(world.device, world.view, self._fail_member, beat, world.tables)
        self.guard = Guard(self.lockstep)
        self.members: list[Member] = []
        self.started: dict[str, str] = {}
        self.checkpoints: dict[str, Checkpoint] = {}
        self.left = {cell.key: cell for cell in job.cells}

    def run(self) -> None:
        try:
            self._train()
        except EpochVoid as void:
            self._try_apart(void)
        except Exception as error:
            if self.world.device.is_fatal(error) or not self.world.device.is_out_of_memory(error):
                raise
            self._fail_rest(error)
        self.beat(None)

    def _train(self) -> None:
        self.world.keep(self.job.cells)
        try:
            for number, cell in enumerate(self.job.cells):
                self._start(number, cell)
            with stop_request.deferred():
                while self.members:
                    self._round()
                    self._leave_off()
        except (EpochVoid, DeviceLost):  # nothing of the epoch counts, or nothing can be written from this process
            self.members.clear()
            raise
        except Exception:  # of the harness' own functions, one of which may be another now
            try:
                self.guard.check_code()
            except EpochVoid:
                self.members.clear()
                raise
            raise
        finally:  # of those that an interruption leaves behind, the curves so far
            for member in self.members:
                self._write_history(member)

    def _leave_off(self) -> None:
        """After a round, if this process is to end: every cell goes on from here in another run."""
        if stop_request.asked:
            for member in list(self.members):
                self._save(member)
        stop_request.obey()

    def _fail_rest(self, error: Exception) -> None:
        """Memory ran out for what the cells share (data, a batch): for all of them that were not reported."""
        self.members.clear()
        for cell in list(self.left.values()):
            self._fail(cell, error)

    def _try_apart(self, void: EpochVoid) -> None:
        """Some cell changed what they share. Each goes on alone from its last checkpoint; the one that did it fails."""
        self.guard.forget()
        self.world.teachers.forget()
        if self.guard.data_changed:
            self.world.data.forget()
        if len(self.job.cells) == 1:
            error = CellError("SharedStateChanged", str(void))
            error.__cause__ = void.__cause__ or void.__context__
            self._fail(self.job.cells[0], error)
            return
        for key in list(self.left):
            del self.left[key]
            self.emit(CellAborted(self.job.number, key, one_line(void), alone=True))

    # -- a cell's start -----------------------------------------------------------------------------------------------

    def _start(self, number: int, cell: Cell) -> None:
        """Builds the cell, or takes it up where its checkpoint left it."""
        done = self.world.folder.read_record(cell.key)
        if done is not None and done.status is Status.OK:  # the run sets aside what is to be made again
            self._emit_end(done)
            return
        self.started[cell.key] = timestamp()
        if cell.sheltered:
            self.world.folder.shelter(cell.key)
        # Whatever kills the process from here on, this record is already true.
        self._write(cell, Status.INTERRUPTED, error_message="the run ended before this cell did")
        path = self.world.folder.cell(cell.key).checkpoint
        self.checkpoints[cell.key] = Checkpoint(path, self.settings.checkpoint_seconds, self.world.device.kind)
        self.emit(CellStarted(self.job.number, cell.key))
        with self.world.device.contained(lambda error: self._fail(cell, error)) as failed:
            data = self.world.data.of(cell)
            self.guard.know_data(data)
            self._tell(self.world.data.warnings())
            self.beat(number)
            self.world.device.set_precision(str(cell.recipe["precision"]))  # teachers run, methods may
            self.world.check_plugins(cell)
            teachers = self.world.teachers.of(cell, data)
            self.guard.know(teachers)
            self.lockstep.note(teachers)
            state = build(cell, self.world, data, teachers, self.settings.metrics)
            references = self.world.teachers.references(cell, data)
            self.guard.know(references)
            sources = self.world.teachers.digests(cell)
            member = Member(cell, number, self.world, data, references, state, sources)
            check_teachers(teachers)
            saved = self.checkpoints[cell.key].load(sources)
            if saved is not None:
                member.load_state_dict(saved)
        if not failed:
            self.members.append(member)

    def _tell(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.emit(WorkerWarning(self.job.number, line))

    # -- one round: an epoch of every member --------------------------------------------------------------------------

    def _round(self) -> None:
        asked: dict[BatchRequest, list[Member]] = {}
        for member in list(self.members):
            self.beat(member.number)
            with self._contained(member), self.lockstep.ledger.turn(member.cell.key):
                self.lockstep.note(member.shared_teachers)
                if member.cell.secret:
                    self.world.folder.check_held()
                    member.begun = begin_epoch(self.world.folder.cell(member.cell.key).begun, member.clock.epoch)
                request = member.request()
                check_teachers(member.shared_teachers)
                asked.setdefault(request, []).append(member)
        for request, members in asked.items():
            alive = self.lockstep.run(request, members)
            self.guard.check(writes=self.lockstep.keeps)
            self.lockstep.commit()
            self._tell(self.world.tables.lines())
            for member in alive:
                self._end_epoch(member, request)
        due: dict[tuple[str, str], list[Member]] = {}
        for member in self.members:
            if member.evaluation_due:
                due.setdefault((member.data.key, member.validation), []).append(member)
        for members in due.values():
            self._evaluate(members)
        for member in list(self.members):
            if member.finished:
                self._conclude(member)
            elif self.checkpoints[member.cell.key].due():
                self._save(member)

    def _save(self, member: Member) -> None:
        content = b""
        self.guard.check(writes=True)
        with self._contained(member) as failed:
            content = packed(member.state_dict())
        if not failed:  # what the disk refuses is no fault of the cell
            self.world.folder.check_held()
            self.checkpoints[member.cell.key].save(content)
            self._write_history(member)

    def _write_history(self, member: Member) -> None:
        self.world.folder.check_held()
        write_history(self.world.folder.cell(member.cell.key).history, member.history)

    def _end_epoch(self, member: Member, request: BatchRequest) -> None:
        limit = self.settings.timeout_seconds
        with self._contained(member) as failed:
            self.lockstep.note(member.shared_teachers)
            values = member.end_epoch()
            check_teachers(member.shared_teachers)
            if limit is not None and member.effort.own_seconds > limit and not member.finished:
                took = f"its own steps took more than {limit:g} s"
                raise CellError("Timeout", f"{took}; it was in epoch {member.clock.epoch} of {member.epochs}")
        if not failed:
            images = (len(request.selection) or len(member.data.subsets[request.subset])) * request.repeats
            epoch, epochs = member.clock.epoch, member.epochs
            told = {} if member.cell.sheltered else values
            self.emit(EpochFinished(self.job.number, member.cell.key, epoch, epochs, images, told))

    def _evaluate(self, members: Sequence[Member]) -> None:
        """Looks at the validation split, where there is one, and at the test split. Members share both."""
        for member, logits in self._predictions(members, members[0].validation):
            accuracy = self._note(member, "validation", logits)
            with self._contained(member):
                member.state.keep_best(accuracy)
        for member, logits in self._predictions(self._alive(members), "test"):
            self._note(member, "test", logits)
            member.test_logits = logits
        for member in self._alive(members):
            if member.finished and member.state.best is not None:
                with self._contained(member):
                    member.restore_best()
                for _, logits in self._predictions(self._alive([member]), "test"):
                    member.test_logits = logits

    def _alive(self, members: Sequence[Member]) -> list[Member]:
        """The members that did not leave the group."""
        return [member for member in members if member in self.members]

    def _predictions(self, members: Sequence[Member], split: str) -> list[tuple[Member, dict[str, Tensor]]]:
        """Logits by predictor of each member that gives some; members share their data."""
        if not members:
            return []
        images, rows, _ = members[0].data.split(split)
        if not len(rows):
            return []
        found = []
        for member, logits in zip(members, predict_together(members, images, rows, self.lockstep.balance), strict=True):
            if isinstance(logits, Exception):
                self._fail_member(member, logits)
            else:
                found.append((member, logits))
        return found

    def _note(self, member: Member, split: str, logits: dict[str, Tensor]) -> float:
        """Adds each predictor's accuracy to the history; returns the main one's, in percent."""
        targets = member.data.split(member.validation if split == "validation" else split)[2]
        accuracies = once(lambda values: top1(values, targets), logits)
        member.history.extend((member.clock.epoch, split, name, "top1", value) for name, value in accuracies.items())
        return next(iter(accuracies.values()))

    # -- a cell's end -------------------------------------------------------------------------------------------------

    def _conclude(self, member: Member) -> None:
        """Writes a finished cell's files, and its record last."""
        cell, files = member.cell, self.world.folder.cell(member.cell.key)
        with self._contained(member) as failed:
            values, rows, failures = final_numbers(member, member.test_logits, self.settings.metrics)
            kept = cell.key in self.settings.keep_weights
            with member.main_weights():
                weights = packed_weights(member.student.network.state_dict()) if kept else b""
            audit = audit_of(member)
        if failed:
            return
        self.guard.check(writes=True)
        values["group_size"] = len(self.job.cells)
        self.world.folder.check_held()
        if weights:
            write_atomic(files.model, weights)
        else:
            files.model.unlink(missing_ok=True)  # of an earlier training
        arrays = prediction_arrays(member.test_logits, member.data.test_targets)
        save_arrays(files.predictions, arrays)
        if audit is not None:
            write_audit(files, audit)
        self._write_history(member)
        self.members.remove(member)
        record = self._write(
            cell,
            Status.OK,
            values=values,
            metrics=tuple(rows),
            measured=tuple(name for name in self.settings.metrics if name not in failures),
            sources=member.sources,
            finished_at=timestamp(),
            **_told(failures),
        )
        self.checkpoints[cell.key].remove()
        self._emit_end(record)

    def _contained(self, member: Member) -> Contained:
        return self.world.device.contained(lambda error: self._fail_member(member, error))

    def _fail_member(self, member: Member, error: Exception) -> None:
        """Takes the member out of the group."""
        if member in self.members:
            self.members.remove(member)
            self._write_history(member)
            self._fail(member.cell, error)

    def _fail(self, cell: Cell, error: Exception) -> None:
        """Writes why the cell ended; when memory ran out beside others, it is to be tried again among fewer instead."""
        status, kind = Status.FAILED, type(error).__name__
        if isinstance(error, CellError):
            kind = error.error_type
            status = OWN_STATUS.get(kind, Status.FAILED)
        trace = trace_of(error)
        out_of_memory = self.world.device.is_out_of_memory(error)
        if not out_of_memory:
            self.guard.check(writes=True)
        if out_of_memory:
            status = Status.OOM
            _let_go(error)
            self.world.device.release_memory()
            if len(self.job.cells) > 1:
                del self.left[cell.key]
                self.emit(CellAborted(self.job.number, cell.key, one_line(error)))
                return
        self.world.folder.check_held()
        if status is Status.FAILED or status is Status.OOM:
            self.checkpoints[cell.key].remove()
        record = self._write(
            cell, status, error_type=kind, error_message=one_line(error), traceback=trace, finished_at=timestamp()
        )
        self._emit_end(record)

    def _emit_end(self, record: Record) -> None:
        del self.left[record.cell.key]
        self.emit(CellFinished(self.job.number, record.cell.key, record.status.value, record.error_message))

    def _write(self, cell: Cell, status: Status, **rest: Any) -> Record:
        attempts = self.job.attempts.get(cell.key, 1)
        record = Record(cell=cell, status=status, started_at=self.started[cell.key], attempts=attempts, **rest)
        self.world.folder.write_record(record)
        return record


def _let_go(error: BaseException) -> None:
    """Forgets the variables of the frames that an error came through: they hold a step's activations."""
    for link in links(error):
        traceback.clear_frames(link.__traceback__)


def _told(failures: Mapping[str, Exception]) -> dict[str, str]:
    """What a finished cell's record says of metrics that raised."""
    if not failures:
        return {}
    said = {name: "; ".join([one_line(e), *getattr(e, "__notes__", ())]) for name, e in failures.items()}
    messages = [f"metric '{name}' was not measured: {reason}" for name, reason in said.items()]
    traces = [trace_of(error) for error in failures.values()]
    return {"error_type": "MetricError", "error_message": "; ".join(messages), "traceback": "\n".join(traces)}
