"""The engine's own way of training, with each part of it charged, and its operations counted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

from torch import Tensor

from kdharness.api.executors import Beat, Emit, WorkerSettings
from kdharness.api.staged import Outputs
from kdharness.api.step import Batch, Step, StepInfo
from kdharness.data.batches import Samples
from kdharness.device.clock import Clock
from kdharness.engine.group import Group
from kdharness.engine.member import Member
from kdharness.engine.stepper import EagerStepper
from kdharness.engine.teacher_batch import TeacherOutputs
from kdharness.engine.world import World
from kdharness.planning.cell import Cell
from kdharness.planning.cell_group import CellGroup
from kdharness.speed.stopwatch import BACKWARD, EVALUATION, LOSS, OPTIMIZER, STUDENT, TEACHER, VIEWS
from kdharness.testing.operations import Operations


@dataclass(eq=False)
class Watch:
    """Looks at steps.

    clock: parts are charged there. operations: a counter that is in place; None: nothing is counted.
    per_step: operations of each step.
    """

    clock: Clock
    operations: Operations | None = None
    per_step: list[int] = field(default_factory=list)

    @contextmanager
    def step(self) -> Iterator[None]:
        """One step, whose operations are counted."""
        before = 0 if self.operations is None else self.operations.count
        yield
        if self.operations is not None:
            self.per_step.append(self.operations.count - before)


@dataclass(frozen=True, eq=False)
class PartsStepper(EagerStepper):
    """The usual stepper. What a method asks of its teacher only within `losses` is charged to the loss."""

    watch: Watch

    def step(self, samples: Samples, teachers: TeacherOutputs, info: StepInfo) -> None:
        with self.watch.step():
            super().step(samples, teachers, info)

    def _prepare(self, samples: Samples) -> None:
        with self.watch.clock.charge(VIEWS):
            super()._prepare(samples)

    def _teacher(self, teachers: TeacherOutputs) -> Any:
        with self.watch.clock.charge(TEACHER):
            return super()._teacher(teachers)

    def _losses(self, batch: Batch, teacher: Any) -> tuple[Outputs, dict[str, Tensor]]:
        with self.watch.clock.charge(LOSS):
            return super()._losses(batch, teacher)

    def _student(self, batch: Batch) -> Outputs:
        with self.watch.clock.charge(STUDENT):
            return super()._student(batch)

    def _step(self, losses: dict[str, Tensor], batch: Batch, teacher: Any) -> Step:
        """Its own way of calling back is charged, whatever a method's `update` makes of it."""
        made = super()._step(losses, batch, teacher)
        parts = {"backward": BACKWARD, "gradients": BACKWARD, "zero_grad": BACKWARD, "advance": OPTIMIZER}
        vars(made).update({name: self._charged(part, getattr(made, name)) for name, part in parts.items()})
        return made

    def _charged(self, part: str, call: Any) -> Any:
        @wraps(call)
        def charged(*given: Any, **named: Any) -> Any:
            with self.watch.clock.charge(part):
                return call(*given, **named)

        return charged


class PartsGroup(Group):
    """A group whose members step with that stepper."""

    def __init__(
        self, job: CellGroup, settings: WorkerSettings, world: World, emit: Emit, beat: Beat, watch: Watch
    ) -> None:
        super().__init__(job, settings, world, emit, beat)
        self.watch = watch

    def _start(self, number: int, cell: Cell) -> None:
        super()._start(number, cell)
        for member in self.members[-1:]:
            member.stepper = PartsStepper(member.state, member.reads, member.views, self.watch)

    def _evaluate(self, members: Sequence[Member]) -> None:
        with self.watch.clock.charge(EVALUATION):
            super()._evaluate(members)
