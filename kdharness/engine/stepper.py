"""One batch's update of one cell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from kdharness.api.declarations import Reads
from kdharness.api.method import Method
from kdharness.api.seen_views import not_shown
from kdharness.api.staged import Outputs
from kdharness.api.step import Batch, Step, StepInfo
from kdharness.data.batches import Samples
from kdharness.engine.cell_state import CellState
from kdharness.engine.seen_batch import SeenView, batch_of
from kdharness.engine.teacher_batch import TeacherOutputs
from kdharness.engine.undeclared import hinted


class Stepper(Protocol):
    """Makes updates. Another one may replay what it recorded of a first step; the method does not notice."""

    def step(self, samples: Samples, teachers: TeacherOutputs, info: StepInfo) -> None:
        """Forward, losses, update, for one batch. Called in the cell's own turn."""


@dataclass(frozen=True, eq=False)
class EagerStepper:
    """Runs the method's Python anew for every batch.

    views: as the method declares them, and what the pass calls them.
    """

    state: CellState
    reads: Reads
    views: Sequence[SeenView]

    def step(self, samples: Samples, teachers: TeacherOutputs, info: StepInfo) -> None:
        self._prepare(samples)
        batch = batch_of(samples, info, self.reads, self.views, self.state.players.phase_recipe)
        teacher = self._teacher(teachers)
        with hinted(self.reads):
            student, losses = self._losses(batch, teacher)
            self.state.method.update(self._step(losses, batch, teacher))
            with torch.no_grad():
                self.state.method.after_step(batch, student, teacher)
        if self.state.averages is not None:  # of the weights with which the next step begins
            self.state.averages.update()
        self.state.terms.remember(losses)

    def _prepare(self, samples: Samples) -> None:
        """Has what the student will be run on preprocessed, for all cells that prepare it alike."""
        shown = [key for view, key in self.views if view.student]
        for key in shown:
            samples.prepare(key, self.state.student)
        if self.reads.partners == "same_class":
            samples.prepare(shown[0], self.state.student, partners=True)

    def _teacher(self, teachers: TeacherOutputs) -> Any:
        if self.reads.teachers == "none":
            return None
        return teachers[0] if self.reads.teachers == "one" else teachers

    def _losses(self, batch: Batch, teacher: Any) -> tuple[Outputs, dict[str, torch.Tensor]]:
        """The student's outputs with its present weights, and the terms that count."""
        student = self._student(batch)
        terms = self.state.method.losses(batch, student, teacher)
        # A method with an update of its own may have no terms: what it trains is its affair.
        trains = bool(self.state.players.optimizers) and (bool(terms) or updates_plainly(self.state.method))
        return student, self.state.terms.checked(terms, self.state.clock.in_last_phase, trains)

    def _student(self, batch: Batch) -> Outputs:
        """Of the first view that it is shown; of the others as its `views`."""
        made = [
            self.state.student.run(images, self.reads.taps, self.reads.modules) if view.student else None
            for (view, _), images in zip(self.views, batch.views, strict=True)
        ]
        first = next(outputs for outputs in made if outputs is not None)
        return first.beside(
            None if outputs is first else not_shown(number, view.name, "student") if outputs is None else _just(outputs)
            for number, ((view, _), outputs) in enumerate(zip(self.views, made, strict=True))
        )

    def _step(self, losses: dict[str, torch.Tensor], batch: Batch, teacher: Any) -> Step:
        declared = self.state.method.terms
        return Step(
            losses=losses,
            tags={name: declared.get(name, "task" if name == "ce" else "distill") for name in losses},
            optimizers=self.state.players.optimizers,
            parameters=self.state.players.parameters,
            recompute=lambda: self._losses(batch, teacher)[1],
            info=batch.step,
            advance=self.state.players.advance,
        )


def updates_plainly(method: Method) -> bool:
    """Whether a step is the sum of the terms, backward, step."""
    return type(method).update is Method.update


def _just(outputs: Outputs) -> Callable[[], Outputs]:
    return lambda: outputs
