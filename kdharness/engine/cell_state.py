"""All of a cell in training that a checkpoint holds."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import nn

from kdharness.api.method import Method
from kdharness.api.staged import StagedModel
from kdharness.device.memory import tensor_bytes
from kdharness.device.random import RandomState
from kdharness.device.secret import renew
from kdharness.engine.losses import LossTerms
from kdharness.engine.phase_clock import PhaseClock
from kdharness.engine.players import Players
from kdharness.engine.teachers import AnyTeacher
from kdharness.measure.averages import Averages
from kdharness.measure.observers import Observers
from kdharness.measure.subject import Effort
from kdharness.results.history import HistoryRow


@dataclass(frozen=True)
class Best:
    """The weights of the epoch with the best validation accuracy, in percent.

    weights: of "student" and "method".
    averages: of the weights, where the cell has them.
    """

    top1: float
    epoch: int
    weights: Mapping[str, Mapping[str, Any]]
    averages: Mapping[str, Any] | None = None


@dataclass
class CellState:
    """A cell's networks, optimisers, generators and counts.

    predictor: what is evaluated. teachers: as the method reads them. random: the cell's default generators.
    generators: those that the method asked for, in order, while it was built and later.
    secrets: likewise, those whose states nothing keeps.
    averages: of the weights; None where the recipe has none.
    history: a row for every number of every epoch.
    """

    student: StagedModel
    method: Method
    predictor: nn.Module
    teachers: Sequence[AnyTeacher]
    random: RandomState
    generators: Sequence[torch.Generator]
    secrets: Sequence[torch.Generator]
    players: Players
    terms: LossTerms
    observers: Observers
    clock: PhaseClock
    averages: Averages | None = None
    effort: Effort = field(default_factory=Effort)
    history: list[HistoryRow] = field(default_factory=list)
    best: Best | None = None

    @property
    def private_teachers(self) -> Sequence[AnyTeacher]:
        """The copies of a method that changes its teachers."""
        return self.teachers if self.method.private_teacher else ()

    def enter_phase(self) -> None:
        """Makes the optimisers of the phase that the clock shows; nothing after the last one."""
        if not self.clock.finished:
            self.players.enter(self.clock.phase)
            self.observers.follow(self.players.optimizers.values())

    def weights(self) -> dict[str, Mapping[str, Any]]:
        """What is deployed: the student, and what the method has."""
        return {"student": self.student.state_dict(), "method": self.method.state_dict()}

    def load_weights(self, weights: Mapping[str, Mapping[str, Any]]) -> None:
        self.student.load_state_dict(weights["student"])
        self.method.load_state_dict(weights["method"])

    @contextmanager
    def main_weights(self) -> Iterator[None]:
        """What is deployed has the weights that the recipe evaluates, for the duration."""
        if self.averages is None or not self.averages.are_main:
            yield
            return
        with self.averages.in_place():
            yield

    def keep_best(self, top1: float) -> None:
        """Remembers the present weights when their validation accuracy (percent) is the best so far."""
        if self.best is None or top1 > self.best.top1:
            averages = None if self.averages is None else self.averages.state_dict()
            self.best = Best(top1, self.clock.epoch, *copy.deepcopy((self.weights(), averages)))

    def restore_best(self) -> None:
        """Goes back to the best weights, and to their averages then."""
        if self.best is not None:
            self.load_weights(self.best.weights)
            if self.averages is not None and self.best.averages is not None:
                self.averages.load_state_dict(self.best.averages)

    def renew_secrets(self) -> None:
        """What was drawn so far tells nothing about what will be."""
        for generator in self.secrets:
            renew(generator)

    def standing_bytes(self) -> int:
        """Weights, buffers, gradients and optimiser state, which the cell holds between steps."""
        parameters = self.players.all_parameters()
        tensors = [*parameters, *self.student.buffers(), *self.method.buffers(), *self.players.held()]
        tensors += [] if self.averages is None else self.averages.tensors()
        gradients = [p.grad for p in parameters if p.grad is not None]
        return tensor_bytes({id(t): t for t in tensors}.values()) + tensor_bytes(gradients)

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed run needs to give the same bits, as plain data and tensors."""
        return {
            "weights": self.weights(),
            "players": self.players.state_dict(),
            "averages": None if self.averages is None else self.averages.state_dict(),
            "teachers": [t.model.state_dict() for t in self.private_teachers],
            "random": self.random.state_dict(),
            "generators": [g.get_state() for g in self.generators],
            "observed": self.observers.epochs,
            "dropped": self.terms.dropped,
            "clock": self.clock.state_dict(),
            "effort": asdict(self.effort),
            "history": self.history,
            "best": None if self.best is None else vars(self.best),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """state: of the same cell, newly built."""
        self.observers.epochs.update(state["observed"])
        self.terms.dropped |= state["dropped"]
        self.effort = Effort(**state["effort"])
        self.history = [tuple(row) for row in state["history"]]
        self.best = None if state["best"] is None else Best(**state["best"])
        for self.clock.number in range(state["clock"]["number"] + 1):
            self.enter_phase()  # each in turn, for the lasting optimisers that it makes
        self.clock.load_state_dict(state["clock"])
        self.load_weights(state["weights"])
        self.players.load_state_dict(state["players"])
        if self.averages is not None:
            self.averages.load_state_dict(state["averages"])
        for teacher, saved in zip(self.private_teachers, state["teachers"], strict=True):
            teacher.model.load_state_dict(saved)
        self.random.load_state_dict(state["random"])
        for generator, saved in zip(self.generators, state["generators"], strict=True):
            generator.set_state(saved)
