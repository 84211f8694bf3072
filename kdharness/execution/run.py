"""From a plan to records: what is to be run is scheduled, watched and written down."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from kdharness.api.events import RunInfo
from kdharness.api.executors import (
    CellAborted,
    CellFinished,
    CellStarted,
    EpochFinished,
    Event,
    Executor,
    JobFinished,
    JobLost,
    WorkerError,
    WorkerSettings,
    WorkerWarning,
)
from kdharness.device.names import max_group
from kdharness.errors import UserError
from kdharness.execution.display import Display
from kdharness.execution.rerun import Rerun
from kdharness.execution.resume import STALE, about, resume, unmeasured
from kdharness.execution.schedule import CellEnd, Scheduler
from kdharness.execution.signals import terminations_interrupt
from kdharness.execution.tally import Tally
from kdharness.execution.worker import RUNNER
from kdharness.planning.cell import Cell
from kdharness.planning.plan import Plan, PlannedCell
from kdharness.registry.manager import Registry
from kdharness.results.bound import outdated
from kdharness.results.record import Record, Status
from kdharness.results.rows import rows_of
from kdharness.results.store import ResultsFolder
from kdharness.text import timestamp

# How long the run waits for events at a time; also how finely a hanging worker is noticed.
POLL_SECONDS = 0.25
PROGRESS_SECONDS = 1.0

INTERRUPTED_EXIT = 130


@dataclass(frozen=True)
class Outcome:
    """What became of a plan. statuses: by key, every planned cell's; not_run: by key, why a cell was not run."""

    statuses: Mapping[str, Status]
    not_run: Mapping[str, str] = field(default_factory=dict)
    interrupted: bool = False

    @property
    def counts(self) -> Counter[Status]:
        return Counter(self.statuses.values())

    @property
    def exit_code(self) -> int:
        """0: every planned cell is ok or skipped; 1: some cell is not; 130: interrupted."""
        if self.interrupted:
            return INTERRUPTED_EXIT
        return 0 if set(self.statuses.values()) <= {Status.OK, Status.SKIPPED} else 1


def execute(
    plan: Plan,
    folder: ResultsFolder,
    settings: WorkerSettings,
    executor: Executor,
    registry: Registry,
    display: Display,
    rerun: Rerun | None = None,
    runner: str = RUNNER,
    of_rows: Collection[str] = (),
) -> Outcome:
    """Runs what is missing of the plan; the caller holds the folder's lock. runner: 'module:function' that opens and
    trains the jobs. of_rows: as the scheduler's.

    Ctrl-C, or a request of the system to end, ends it early, with the finished cells kept; a second one while it stops
    kills the workers at once.
    UserError when nothing more can be written, or to another folder than the one that was locked.
    """
    run = _Run(plan, folder, settings, executor, registry, display, rerun, runner, of_rows)
    interrupted = False
    try:
        with terminations_interrupt():
            try:
                run.loop()
            except KeyboardInterrupt:
                interrupted = True
            finally:
                run.stop()
        return run.outcome(interrupted)
    finally:
        run.say_finished()


class _Run:
    """One run's state."""

    def __init__(
        self,
        plan: Plan,
        folder: ResultsFolder,
        settings: WorkerSettings,
        executor: Executor,
        registry: Registry,
        display: Display,
        rerun: Rerun | None,
        runner: str,
        of_rows: Collection[str],
    ) -> None:
        self.of_rows = of_rows
        self.plan = plan
        self.folder = folder
        self.executor = executor
        self.registry = registry
        self.display = display
        self.runner = runner
        records = {p.cell.key: folder.read_record(p.cell.key) for p in plan.cells if not p.skip}
        self.before = {key: record for key, record in records.items() if record is not None}
        for planned in plan.cells:
            if planned.cell.sheltered and planned.cell.key in self.before:
                folder.shelter(planned.cell.key)
        resumption = resume(plan, self.before, folder.weights_fault, rerun)
        self.notes = [line for line in (*resumption.notes, unmeasured(plan, self.before, resumption)) if line]
        self.statuses = dict(resumption.kept)
        self.cells = {cell.key: cell for cell in resumption.to_run}
        self.not_run: dict[str, str] = {}
        self.unavailable = resumption.unavailable
        self.largest = max_group(settings.devices)
        self.scheduler = self._scheduler(resumption.to_run)
        self.tally = Tally(len(plan.cells), Counter(self.statuses.values()))
        self.told = set(plan.warnings)
        self.parted: set[int] = set()
        self._written_at = float("-inf")

    def loop(self) -> None:
        """Until nothing runs and nothing can start."""
        self.display.start(self.tally)
        plan = self.plan
        about_run = RunInfo(plan.benchmark, self.folder.path.resolve(), len(plan.cells), tuple(plan.command))
        self._fire("run_started", run=about_run)
        for line in self.notes:
            self.display.note(line)
        self._train()
        while again := self._outdated():
            self.display.note(about(again, STALE))
            self._take_up(again)
            self._train()

    def _scheduler(self, cells: Sequence[Cell], jobs: int = 0) -> Scheduler:
        """Of cells that are to be run. Their ok records, if any, are set aside once they are handed out."""
        self.to_set_aside = {cell.key for cell in cells}
        done = [key for key, status in self.statuses.items() if status is Status.OK]
        return Scheduler(cells, done, self.executor.slots, self.largest, self.unavailable, jobs, self.of_rows)

    def _train(self) -> None:
        """Until nothing runs and nothing can start."""
        self._give_up_blocked()
        while True:
            self._fill_slots()
            self._show()
            if not self.scheduler.running:
                return
            for event in self.executor.events(POLL_SECONDS):
                self._handle(event)

    def _outdated(self) -> list[Cell]:
        """The plan's cells that are ok and were trained with weights that this run has made anew."""
        ok = {key for key, status in self.statuses.items() if status is Status.OK}
        cells = {p.cell.key: p.cell for p in self.plan.cells if p.cell.key in ok}
        made = {key for key in self.cells if key in ok}
        if not any(made.intersection(cell.requires) for cell in cells.values() if cell.key not in made):
            return []
        records = {key: self.folder.read_record(key) for key in cells}
        stale = outdated({key: record for key, record in records.items() if record is not None})
        return [cell for key, cell in cells.items() if key in stale]

    def _take_up(self, cells: Sequence[Cell]) -> None:
        """Has cells that are ok run again."""
        for cell in cells:
            self.cells[cell.key] = cell
            self.statuses.pop(cell.key)
        self.tally.reopen(len(cells))
        self.scheduler = self._scheduler(cells, self.scheduler.jobs)

    def _fill_slots(self) -> None:
        while self.scheduler.running < self.executor.slots:
            group = self.scheduler.next_group()
            if group is None:
                return
            self.tally.begin(group)
            for key in self.to_set_aside.intersection(cell.key for cell in group.cells):
                self.to_set_aside.remove(key)
                self.folder.set_aside(key)
            self.executor.submit(group.job(self.runner))

    def _show(self) -> None:
        self.display.refresh()
        if time.monotonic() - self._written_at >= PROGRESS_SECONDS:
            self.folder.check_held()
            self.folder.progress.write(self.tally.to_json())
            self._written_at = time.monotonic()

    def _handle(self, event: Event) -> None:
        if isinstance(event, JobFinished | JobLost | WorkerError):
            for unheard in self._unheard(event.job):
                self._handle(unheard)
        self.tally.note(event)
        match event:
            case CellStarted(key=key):
                self._fire("cell_started", cell=self.cells[key].info)
            case EpochFinished(key=key):
                info = self.cells[key].info
                self._fire("epoch_finished", cell=info, epoch=event.epoch, values=event.values)
            case WorkerError(fatal=True):
                raise UserError(event.message)
            case WorkerWarning(message=line) if line not in self.told:
                self.told.add(line)
                self.display.note(f"warning: {line}")
            case CellAborted(alone=True, reason=reason) if event.job not in self.parted:
                self.parted.add(event.job)
                labels = [self.cells[key].label for key in self.scheduler.left(event.job)]
                self.display.note(_parted_line(labels, reason))
            case JobLost():
                suspect = self.cells.get(event.suspect)
                self.display.note(_lost_line(event, suspect.label if suspect is not None else ""))
        ends = self.scheduler.handle(event)
        if isinstance(event, CellFinished):
            self._ended(self._record_of(event))
        if isinstance(event, JobFinished | JobLost | WorkerError):
            self.tally.drop(event.job)
        for end in ends:
            self._write(end)
        self._give_up_blocked()

    def _unheard(self, job: int) -> list[CellFinished]:
        """What a worker wrote before it ended and did not say: such a cell is not to be tried again."""
        found = ((key, self.folder.read_record(key)) for key in self.scheduler.left(job))
        return [
            CellFinished(job, key, record.status.value, record.error_message)
            for key, record in found
            if record is not None and record.status is not Status.INTERRUPTED and record != self.before.get(key)
        ]

    def _record_of(self, event: CellFinished) -> Record:
        """The record on disk; what the event says where a slow disk does not show it yet."""
        found = self.folder.read_record(event.key)
        if found is not None and found.status == event.status:
            return found
        return Record(self.cells[event.key], Status(event.status), error_message=event.message)

    def _write(self, end: CellEnd) -> None:
        """The record of a cell whose worker cannot write it."""
        self.folder.check_held()
        unfinished = self.folder.read_record(end.cell.key)
        begun = unfinished is not None and unfinished.status is Status.INTERRUPTED
        record = Record(
            cell=end.cell,
            status=end.status,
            error_type=end.error_type,
            error_message=end.message,
            traceback=end.traceback,
            started_at=unfinished.started_at if unfinished is not None and begun else "",
            finished_at=timestamp(),
            attempts=end.attempts,
        )
        self.folder.write_record(record)
        self._ended(record)

    def _ended(self, record: Record) -> None:
        self.statuses[record.cell.key] = record.status
        self.scheduler.note_seconds(record.cell, float(record.values.get("train_seconds", 0.0)))
        self.tally.count(record.status)
        self.display.ended(record.cell, record.status, record)
        if self.registry.listens("cell_finished"):
            self._fire("cell_finished", record=_row(record))

    def _fire(self, event: str, **values: object) -> None:
        """Tells the plugins, and the user of those that did not bear it."""
        for line in self.registry.fire(event, **values):
            self.display.note(line)

    def say_finished(self) -> None:
        """Tells the plugins that this was all."""
        counts = Counter(status.value for status in self.statuses.values())
        self._fire("run_finished", counts=dict(sorted(counts.items())))

    def _give_up_blocked(self) -> None:
        """Counts the cells that the scheduler has given up since it was last asked."""
        for key, reason in self.scheduler.not_run.items():
            if key not in self.not_run:
                self.not_run[key] = reason
                self.statuses[key] = Status.NOT_RUN
                self.tally.count(Status.NOT_RUN)
                self.display.ended(self.cells[key], Status.NOT_RUN, reason=reason)

    def stop(self) -> None:
        """Ends the workers and leaves nothing that looks as if it ran. Ctrl-C makes it shorter, and is no error."""
        with suppress(KeyboardInterrupt):  # the executor has killed its workers by then
            self.executor.stop()
        self.tally.groups.clear()
        with suppress(KeyboardInterrupt, UserError):
            self.folder.check_held()
            self.folder.progress.write(self.tally.to_json())
        self.display.stop()

    def outcome(self, interrupted: bool) -> Outcome:
        """Looks on disk for what was not heard of: a worker may have finished a cell while the run was stopping."""
        for key in [key for key in self.cells if key not in self.statuses]:
            record = self.folder.read_record(key)
            if record is None:
                self.statuses[key] = Status.NOT_RUN
            elif record.status is Status.INTERRUPTED or record == self.before.get(key):
                self.statuses[key] = record.status
            else:
                self._ended(record)
        return Outcome({p.cell.key: self.statuses[p.cell.key] for p in self.plan.cells}, self.not_run, interrupted)


def _row(record: Record) -> Mapping[str, object]:
    """The record as its row of results.csv."""
    key = record.cell.key
    return next(rows_of({key: PlannedCell(record.cell)}, {key: record}))


def _parted_line(labels: Sequence[str], reason: str) -> str:
    """Which cells go on alone, and why."""
    return f"{len(labels)} cells go on alone, each from its last checkpoint ({', '.join(labels)}): {reason}"


def _lost_line(event: JobLost, label: str) -> str:
    if event.device_lost:
        return f"device lost: {event.cause}"
    where = f"at {label}" if label else "at no cell"
    return f"worker lost {where}: {event.cause}"
