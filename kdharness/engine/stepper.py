"""One batch's update of one cell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch

from kdharness.api.declarations import Reads
from kdharness.api.labels import TaskLoss
from kdharness.api.staged import Outputs
from kdharness.api.step import Batch, Step, StepInfo
from kdharness.data.batches import Samples
from kdharness.engine.cell_state import CellState
from kdharness.engine.teacher_batch import TeacherOutputs


class Stepper(Protocol):
    """Makes updates. Another one may replay what it recorded of a first step; the method does not notice."""

    def step(self, samples: Samples, teachers: TeacherOutputs, info: StepInfo) -> None:
        """Forward, losses, update, for one batch. Called in the cell's own turn."""


@dataclass(frozen=True, eq=False)
class EagerStepper:
    """Runs the method's Python anew for every batch."""

    state: CellState
    reads: Reads

    def step(self, samples: Samples, teachers: TeacherOutputs, info: StepInfo) -> None:
        batch = self._batch(samples, info)
        teacher = self._teacher(teachers)
        student, losses = self._losses(batch, teacher)
        self.state.method.update(self._step(losses, batch, teacher))
        with torch.no_grad():
            self.state.method.after_step(batch, student, teacher)
        self.state.terms.remember(losses)

    def _batch(self, samples: Samples, info: StepInfo) -> Batch:
        """What the method declared of the samples."""
        recipe = self.state.players.phase_recipe
        return Batch(
            images=samples.views[0],
            targets=samples.targets,
            step=info,
            views=samples.views,
            indices=samples.indices if self.reads.indices else None,
            partners=samples.partners if self.reads.partners == "same_class" else None,
            criterion=TaskLoss(recipe.loss, recipe.label_smoothing),
        )

    def _teacher(self, teachers: TeacherOutputs) -> Any:
        if self.reads.teachers == "none":
            return None
        return teachers[0] if self.reads.teachers == "one" else teachers

    def _losses(self, batch: Batch, teacher: Any) -> tuple[Outputs, dict[str, torch.Tensor]]:
        """The student's outputs with its present weights, and the terms that count."""
        views = tuple(self.state.student.run(view, self.reads.taps, self.reads.modules) for view in batch.views)
        views[0].views = views
        terms = self.state.method.losses(batch, views[0], teacher)
        return views[0], self.state.terms.checked(terms, last_phase=self.state.clock.in_last_phase)

    def _step(self, losses: dict[str, torch.Tensor], batch: Batch, teacher: Any) -> Step:
        declared = self.state.method.terms
        return Step(
            losses=losses,
            tags={name: declared.get(name, "task" if name == "ce" else "distill") for name in losses},
            optimizers=self.state.players.optimizers,
            parameters=self.state.players.parameters,
            recompute=lambda: self._losses(batch, teacher)[1],
            info=batch.step,
        )
