"""Which cells train together and when, and what becomes of those whose worker died.

Pure: it is asked for jobs and told events; it touches no process, no disk and no clock.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from kdharness.api.executors import CellAborted, CellFinished, Event, JobFinished, JobLost, WorkerError
from kdharness.device.names import MAX_GROUP
from kdharness.planning.cell import TEACHER, Cell, canonical
from kdharness.planning.cell_group import SHARED, CellGroup
from kdharness.results.record import Status

# With several slots the ready cells are cut into this many groups per slot, so that none idles beside a long one.
GROUPS_PER_SLOT = 3


@dataclass(frozen=True)
class CellEnd:
    """The end of a cell that could not write its record itself."""

    cell: Cell
    status: Status
    error_type: str
    message: str
    traceback: str = ""
    attempts: int = 1


@dataclass
class _Running:
    """A group at work. left: its cells that were not reported yet, by key; aborted: those that memory ran out for."""

    group: CellGroup
    left: dict[str, Cell]
    aborted: list[Cell] = field(default_factory=list)


def share_key(cell: Cell) -> str:
    """Cells with one key can share a group. Teachers keep to themselves: what waits for them waits for their group."""
    shared = {name: cell.document.get(name) for name in SHARED}
    return canonical({**shared, "seed": cell.seed, "role": cell.role, "dataset_parameters": cell.dataset_parameters})


def _kind(cell: Cell) -> tuple[str, ...]:
    """What cells have in common that differ by their seed alone."""
    return cell.method, canonical(dict(cell.parameters)), cell.shown_pair, cell.dataset, cell.scenario, cell.recipe_name


def group_size(cells: int, slots: int, max_group: int) -> int:
    """How many cells a group gets when so many are ready or running."""
    groups = slots * GROUPS_PER_SLOT if slots > 1 else 1
    return max(1, min(max_group, math.ceil(cells / groups)))


def pick_group(
    cells: Sequence[Cell], size: int, of_rows: Collection[str] = (), seconds: Callable[[Cell], float] = lambda cell: 0.0
) -> list[Cell]:
    """Up to `size` of these cells, which share their data: those of one teacher, then others that fit in whole.

    A teacher with more cells than `size` has them cut into equal parts. of_rows: keys of those for which a table of
    what teachers say will do. They come last, and together: what teachers say to the others is in the table by then.
    seconds: what a cell is expected to take. Long ones come first, so that the end has short ones to share out.
    """
    by_teacher: dict[tuple[object, ...], list[Cell]] = {}
    for cell in sorted(cells, key=lambda cell: (cell.key in of_rows, -seconds(cell))):
        by_teacher.setdefault(tuple((t.model, t.identity) for t in cell.teachers), []).append(cell)
    first, *others = by_teacher.values()
    if len(first) > size:
        return first[: math.ceil(len(first) / math.ceil(len(first) / size))]
    picked = list(first)
    for cluster in others:
        if len(picked) + len(cluster) <= size:
            picked += cluster
    return picked


def halves(cells: Sequence[Cell], group: int) -> list[Sequence[Cell]]:
    """The cells as groups of at most half of `group` cells, for which memory ran out. As equal as can be."""
    parts = math.ceil(len(cells) / math.ceil(group / 2))
    bounds = [*(part * len(cells) // parts for part in range(parts)), len(cells)]
    return [cells[start:end] for start, end in pairwise(bounds)]


class Scheduler:
    """Hands out groups of cells whose required cells are done, and takes back those of a lost worker.

    cells: to be run, what is required first. done: keys of cells that are done already.
    unavailable: required cells that will not be done, with the reason. jobs: how many jobs were handed out before.
    of_rows: keys of the cells that read of teachers what tables hold, and nothing else.

    A cell that brought its worker down is tried once more, alone. Where no cell can be blamed (a death at no cell, a
    lost device, an error on an accelerator, a change of what the group shares), each cell of the group is tried once
    more, alone. Cells that ran out of
    memory are tried again in groups of half the size, and so on until they are alone.
    """

    def __init__(
        self,
        cells: Sequence[Cell],
        done: Iterable[str],
        slots: int,
        max_group: int = MAX_GROUP,
        unavailable: Mapping[str, str] | None = None,
        jobs: int = 0,
        of_rows: Collection[str] = (),
    ) -> None:
        self.slots = slots
        self._of_rows = frozenset(of_rows)
        self.max_group = max_group
        self.not_run: dict[str, str] = {}
        self._cells = {cell.key: cell for cell in cells}
        self._share = {cell.key: share_key(cell) for cell in cells}
        self._waiting = dict(self._cells)
        self._done = set(done) - set(self._cells)
        self._gone = {k: reason for k, reason in (unavailable or {}).items() if k not in self._cells}
        self._alone: deque[Cell] = deque()
        self._together: deque[Sequence[Cell]] = deque()
        self._running: dict[int, _Running] = {}
        self._attempts: dict[str, int] = {}
        self._took: dict[tuple[str, ...], float] = {}
        self._kinds = {cell.key: _kind(cell) for cell in cells}
        self.jobs = jobs
        for key in dict.fromkeys(k for cell in cells for k in cell.requires):
            if key not in self._cells and key not in self._done:
                self._gone.setdefault(key, f"it needs cell {key}, which is not planned")
        self._block()

    @property
    def running(self) -> int:
        """The number of groups that were handed out and did not end."""
        return len(self._running)

    def left(self, job: int) -> tuple[str, ...]:
        """Keys of a job's cells that were not reported yet."""
        running = self._running.get(job)
        return () if running is None else tuple(running.left)

    def next_group(self) -> CellGroup | None:
        """The next group for a free slot; None when nothing can start now."""
        if self._alone:
            return self._hand_out([self._alone.popleft()], alone=True)
        if self._together:
            return self._hand_out(self._together.popleft())
        ready = [cell for cell in self._waiting.values() if self._done.issuperset(cell.requires)]
        if not ready:
            return None
        # Running cells count, lest groups shrink to single cells as the queue empties.
        size = group_size(len(ready) + sum(len(r.left) for r in self._running.values()), self.slots, self.max_group)
        first = next((cell for cell in ready if cell.role == TEACHER), ready[0])
        sharing = [cell for cell in ready if self._share[cell.key] == self._share[first.key]]
        group = pick_group(sharing, size, self._of_rows, self._expected)
        for cell in group:
            del self._waiting[cell.key]
        return self._hand_out(group)

    def note_seconds(self, cell: Cell, seconds: float) -> None:
        """How long a cell took: others like it will take about as long."""
        self._took[_kind(cell)] = seconds

    def _expected(self, cell: Cell) -> float:
        return self._took.get(self._kinds[cell.key], 0.0)

    def handle(self, event: Event) -> list[CellEnd]:
        """Takes note of an event; says which cells it ends without a record of their own."""
        running = self._running.get(event.job)
        if running is None:
            return []
        match event:
            case CellFinished(key=key):
                cell = running.left.pop(key, None)
                if cell is not None:
                    self._end(cell, Status(event.status), event.message)
            case CellAborted(key=key, alone=True):
                self._try_alone(running, key)
            case CellAborted(key=key, reason=reason):
                return self._aborted(running, key, reason)
            case JobFinished():
                return self._ended(running, "WorkerError", "its group ended without a word on it")
            case WorkerError(fatal=False):
                return self._erred(running, event)
            case JobLost():
                return self._lost(running, event)
        return []

    def _hand_out(self, cells: Sequence[Cell], alone: bool = False) -> CellGroup:
        for cell in cells:
            self._attempts[cell.key] = self._attempts.get(cell.key, 0) + 1
        self.jobs += 1
        group = CellGroup(self.jobs, tuple(cells), {cell.key: self._attempts[cell.key] for cell in cells}, alone)
        self._running[group.number] = _Running(group, {cell.key: cell for cell in cells})
        return group

    def _try_alone(self, running: _Running, key: str) -> None:
        cell = running.left.pop(key, None)
        if cell is not None:
            self._alone.append(cell)

    def _aborted(self, running: _Running, key: str, reason: str) -> list[CellEnd]:
        cell = running.left.pop(key, None)
        if cell is None:
            return []
        if running.group.alone:
            return [self._cell_end(cell, Status.OOM, "OutOfMemoryError", reason)]
        running.aborted.append(cell)
        return []

    def _erred(self, running: _Running, event: WorkerError) -> list[CellEnd]:
        if event.on_accelerator and not running.group.alone:
            return self._try_apart(running, running.left)
        return self._ended(running, event.error_type, event.message, event.traceback)

    def _ended(self, running: _Running, error_type: str, message: str, traceback: str = "") -> list[CellEnd]:
        """The cells that were not reported have failed."""
        self._free(running)
        return [self._cell_end(cell, Status.FAILED, error_type, message, traceback) for cell in running.left.values()]

    def _lost(self, running: _Running, event: JobLost) -> list[CellEnd]:
        if running.group.alone:
            self._free(running)
            status, error_type, message = _cause(event)
            return [self._cell_end(c, status, error_type, message, event.traceback) for c in running.left.values()]
        if event.out_of_memory:  # whoever was at it, all of them took the memory
            running.aborted += running.left.values()
            self._free(running)
            return []
        # A death at no cell makes suspects of all.
        return self._try_apart(running, [event.suspect] if event.suspect in running.left else running.left)

    def _try_apart(self, running: _Running, suspects: Collection[str]) -> list[CellEnd]:
        """The suspects (by key) are to run alone, the others that were not reported as a group."""
        self._alone.extend(cell for key, cell in running.left.items() if key in suspects)
        others = [cell for key, cell in running.left.items() if key not in suspects]
        if others:
            self._together.append(others)
        self._free(running)
        return []

    def _free(self, running: _Running) -> None:
        """The group is at work no more; what memory ran out for in it is tried again, in halves."""
        del self._running[running.group.number]
        for cells in halves(running.aborted, len(running.group.cells)):
            if len(cells) == 1:
                self._alone.append(cells[0])
            else:
                self._together.append(cells)

    def _cell_end(self, cell: Cell, status: Status, error_type: str, message: str, traceback: str = "") -> CellEnd:
        self._end(cell, status, message)
        return CellEnd(cell, status, error_type, message, traceback, self._attempts[cell.key])

    def _end(self, cell: Cell, status: Status, message: str) -> None:
        if status is Status.OK:
            self._done.add(cell.key)
        else:
            self._gone[cell.key] = unavailable_reason(cell, status, message)
            self._block()

    def _block(self) -> None:
        """Gives up what requires a cell that will not be done. One pass is enough: what is required comes first."""
        for cell in list(self._waiting.values()):
            reason = next((self._gone[key] for key in cell.requires if key in self._gone), None)
            if reason is not None:
                del self._waiting[cell.key]
                self.not_run[cell.key] = reason
                self._gone[cell.key] = unavailable_reason(cell, Status.NOT_RUN, reason)


def unavailable_reason(cell: Cell, status: Status, message: str) -> str:
    """Why what requires this cell is not run: 'teacher resnet56 seed 0 failed: ...'."""
    what = {Status.OOM: "ran out of memory", Status.TIMEOUT: "took too long", Status.NOT_RUN: "was not run"}
    first_line = message.strip().partition("\n")[0]
    text = f"{cell.role} {cell.student} seed {cell.seed} {what.get(status, status.value)}"
    return f"{text}: {first_line}" if first_line else text


def _cause(event: JobLost) -> tuple[Status, str, str]:
    """Status, error type and message of a cell that lost its worker alone."""
    if event.timed_out:
        return Status.TIMEOUT, "Timeout", event.cause
    if event.device_lost:
        return Status.FAILED, "DeviceLost", event.cause
    status = Status.OOM if event.out_of_memory else Status.FAILED
    return status, "WorkerDied", f"the worker process died twice, the second time with this cell alone: {event.cause}"
