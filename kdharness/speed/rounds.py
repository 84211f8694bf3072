"""The rounds of a bench: everything once for a start, then everything in turn, as often as is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from copy import deepcopy

import torch
import torch.nn.functional as F
from torch import Tensor

from kdharness.api.staged import StagedModel
from kdharness.engine.builder import build
from kdharness.errors import UserError
from kdharness.planning.cell import Cell
from kdharness.protocol.variant import made
from kdharness.speed.bed import Bed
from kdharness.speed.findings import STUDENT_ALONE, TEACHER_ALONE, Findings, Unit
from kdharness.speed.parts import Watch
from kdharness.speed.plain_loop import Pictures, PlainLoop, reason_against
from kdharness.speed.request import GROUP, PLAIN, SOLO, TABLE
from kdharness.speed.stopwatch import Stopwatch
from kdharness.testing.operations import operations

Action = Callable[[Watch], None]


class Rounds:
    """Measures on a bed into findings. plain: where the usual loop's networks are, which are in fp32."""

    def __init__(self, bed: Bed, plain: Bed, findings: Findings) -> None:
        self.bed = bed
        self.plain = plain
        self.findings = findings
        self.units = self._units()
        served = tuple(cell.method for cell in bed.served(bed.cells)) if bed.pictures_each else ()
        findings.served = served if TABLE in findings.request.rows else ()
        findings.taught = frozenset(cell.method for cell in bed.cells if bed.taught([cell]))
        findings.pictures = bed.pictures_each
        findings.where = bed.device.fingerprint(findings.request.setting.precision)

    def run(self, tell: Callable[[str], None]) -> None:
        """All rounds; what is found is in the findings as soon as it is. tell: takes a line of progress."""
        repeats = self.findings.request.repeats
        for number in range(repeats + 1):
            tell(f"round {number} of {repeats}" if number else "warming up")
            for unit, action in self.units.items():
                if number:
                    self._time(unit, action)
                else:
                    self._count(unit, action)

    def _time(self, unit: Unit, action: Action) -> None:
        stopwatch = Stopwatch(self.bed.device)
        with stopwatch.lap():
            action(Watch(stopwatch.clock))
        self.findings.laps[unit] += stopwatch.laps

    def _count(self, unit: Unit, action: Action) -> None:
        """The first time, which is not timed: what it holds, and how many operations a step is."""
        if unit[0] == TABLE:  # before it is served, an epoch has to be put into the table
            action(Watch(Stopwatch(self.bed.device).clock))
        with ExitStack() as stack:
            meter = stack.enter_context(self.bed.device.memory_meter())
            watch = Watch(Stopwatch(self.bed.device).clock, stack.enter_context(operations()))
            action(watch)
        self.findings.memory_bytes[unit] = meter.peak
        self.findings.operations[unit] = watch.per_step

    # -- what is measured ---------------------------------------------------------------------------------------------

    def _units(self) -> dict[Unit, Action]:
        """In the order in which a round measures them."""
        bed, rows = self.bed, self.findings.request.rows
        served = bed.served(bed.cells) if bed.pictures_each else []
        found: dict[Unit, Action] = dict(self._one_by_one())
        for cells in (bed.cells, served if TABLE in rows else []):
            if GROUP in rows and len(cells) > 1:
                found[GROUP, _names(cells)] = _group(bed, cells)
        if TABLE in rows and served:
            found[TABLE, _names(served)] = _group(bed, served, tables=True)
        teacher = bed.teacher()
        if teacher is not None:
            found[TEACHER_ALONE, ()] = lambda watch: _forward(bed, teacher)
        found[STUDENT_ALONE, ()] = lambda watch: _train(bed)
        return found

    def _one_by_one(self) -> Iterator[tuple[Unit, Action]]:
        rows = self.findings.request.rows
        for cell, plain in zip(self.bed.cells, self.plain.cells, strict=True):
            if PLAIN in rows:
                yield (PLAIN, (cell.method,)), self._plain(plain)
            if SOLO in rows:
                yield (SOLO, (cell.method,)), _group(self.bed, [cell])

    def _plain(self, cell: Cell) -> Action:
        bed, request = self.plain, self.findings.request
        method = made(bed.registry.get("method", cell.method).spec, cell.parameters)
        if reason := reason_against(method):
            rest = ",".join(row for row in request.rows if row != PLAIN) or SOLO
            what = f"the plain loop cannot train '{cell.method}', which {reason}"
            raise UserError(f"--rows: {what}; without that row: --rows {rest}")
        dataset = bed.data.dataset
        train, test = Pictures(dataset, "train", dataset.augmentation), Pictures(dataset, "test", None)

        def action(watch: Watch) -> None:
            loop = plain_loop(bed, cell, train, test, watch, request.loaders)
            loop.epoch()

        return action


def plain_loop(bed: Bed, cell: Cell, train: Pictures, test: Pictures, watch: Watch, workers: int) -> PlainLoop:
    """A new one for a cell, with networks of its own."""
    teachers = bed.world().teachers.of(cell, bed.data)
    state = build(cell, bed.world(), bed.data, teachers)
    teacher = deepcopy(teachers[0].model) if state.method.reads.teachers == "one" else None
    size, device = bed.request.batch_size, bed.device.torch
    return PlainLoop(state, teacher, train, test, size, device, workers, watch.clock, watch.step)


def _names(cells: list[Cell]) -> tuple[str, ...]:
    return tuple(cell.method for cell in cells)


def _group(bed: Bed, cells: list[Cell], tables: bool = False) -> Action:
    return lambda watch: bed.train(cells, watch, tables)


def _batches(bed: Bed) -> Iterator[tuple[Tensor, Tensor]]:
    for rows in bed.data.subsets["train"].split(bed.request.batch_size):
        yield bed.data.train.pixels(rows), bed.data.targets[rows]


def _forward(bed: Bed, teacher: StagedModel) -> None:
    """The teacher on all images."""
    with torch.no_grad():
        for images, _ in _batches(bed):
            teacher.run(images)


def _train(bed: Bed) -> None:
    """A student on all images, with labels alone."""
    student = bed.student().train()
    optimizer = torch.optim.SGD(student.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    for images, targets in _batches(bed):
        loss = F.cross_entropy(student.run(images).logits, targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
