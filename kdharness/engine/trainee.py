"""One cell's state: networks, optimisers, generators, where it stands in its phases."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from kdharness.api.declarations import Phase, Tap
from kdharness.api.method import EpochContext, Method
from kdharness.api.staged import Outputs
from kdharness.api.step import Batch, Step, StepInfo
from kdharness.data.batches import PassRequest, Samples, checked_selection
from kdharness.device.memory import MemoryMeter, tensor_bytes
from kdharness.device.random import RandomState
from kdharness.device.settings import settings_kept
from kdharness.engine.context import build_context
from kdharness.engine.losses import LossTerms
from kdharness.engine.players import Players
from kdharness.engine.teachers import Ensemble, Teacher, TeacherBatch, TeacherOutputs, fill, load_weights
from kdharness.engine.world import Data, World
from kdharness.errors import CellError
from kdharness.measure.observers import Observers
from kdharness.measure.predict import predict
from kdharness.planning.cell import Cell
from kdharness.protocol.recipe import Recipe
from kdharness.protocol.seeds import stream
from kdharness.protocol.variant import made


class Trainee:
    """A cell in training. Its group calls `request`, `step` for each batch and `end_epoch`, until `finished`."""

    def __init__(
        self,
        cell: Cell,
        number: int,
        world: World,
        data: Data,
        teachers: Sequence[Teacher],
        metrics: Sequence[str] = (),
    ) -> None:
        self.cell = cell
        self.number = number
        self.world = world
        self.data = data
        self.given_teachers = [t for t, s in zip(teachers, cell.teachers, strict=True) if not s.auxiliary]
        self.teachers: Sequence[Teacher | Ensemble] = teachers
        self.device = world.device
        self.recipe = Recipe.model_validate(dict(cell.recipe))
        self.random = RandomState(stream("method", cell.method, "default", cell.seed), self.device)
        self.generators: list[torch.Generator] = []
        self.student = world.new_model(cell.student, data, "student", cell.seed)
        if cell.start is not None:
            path = world.teacher_path(cell.start)
            fill(self.student, load_weights(path), path)
        with self._own_turn():
            self._build(teachers)
        if self.recipe.channels_last:
            self.student.to(memory_format=torch.channels_last)
        self.players = Players(self.student, self.method, self.recipe)
        self.observers = Observers(world.registry, metrics, self.student)
        self.phases: list[Phase] = list(self.method.phases())
        self.lengths = [
            p.epochs if p.epochs is not None else max(1, round(p.fraction * self.recipe.epochs)) for p in self.phases
        ]
        self.phase_number = 0
        self.epoch_in_phase = 0
        self.epoch = 0
        self.images_seen = 0
        self.own_seconds = 0.0
        self.shared_seconds = 0.0
        self.memory_bytes = 0
        self.history: list[tuple[int, str, str, str, float]] = []
        self.best: tuple[float, int, dict[str, Any]] | None = None
        self.test_logits: dict[str, Tensor] = {}
        self._measured: dict[str, float] | None = None
        without = frozenset(cell.document["method"]["without"])
        self.terms = LossTerms(cell.method, self.method.terms, without)
        self._enter_phase()

    def _build(self, teachers: Sequence[Teacher]) -> None:
        """Makes the method, and all that it makes."""
        cell, world = self.cell, self.world
        spec = world.registry.get("method", cell.method).spec
        self.method: Method = made(spec, cell.parameters)
        self.reads = self.method.reads
        if self.reads.teachers == "one" and len(teachers) > 1:
            self.teachers = [world.ensemble(teachers)]
        if self.method.private_teacher:
            self.teachers = copy.deepcopy(list(self.teachers))
        context = build_context(self.student, self.teachers, cell, world, self.data, self._generator)
        self.method.build(context)
        self.method.to(self.device)
        self.predictor = self.method.predictor(self.student, [t.model for t in self.teachers])

    @contextmanager
    def _own_turn(self) -> Iterator[None]:
        """What runs in here is the cell's: it draws from its own generators, and leaves torch's settings alone."""
        with settings_kept(), self.random.active():
            yield

    def _generator(self, name: str) -> torch.Generator:
        generator = torch.Generator().manual_seed(stream("method", self.cell.method, name, self.cell.seed))
        self.generators.append(generator)
        return generator

    # -- phases -------------------------------------------------------------------------------------------------------

    @property
    def phase(self) -> Phase:
        phase: Phase = self.phases[self.phase_number]
        return phase

    @property
    def phase_epochs(self) -> int:
        return self.lengths[self.phase_number]

    @property
    def epochs(self) -> int:
        """The length of the cell's whole training, in epochs."""
        return sum(self.lengths)

    @property
    def finished(self) -> bool:
        return self.phase_number == len(self.phases)

    @property
    def look_is_due(self) -> bool:
        """Whether the cell is evaluated after the epoch that just ended: in its last ten, and every so many where the
        benchmark says so.
        """
        every = self.cell.document["evaluation"]["every"]
        return self.epoch > self.epochs - 10 or bool(every and self.epoch % every == 0)

    @property
    def batch_size(self) -> int:
        return self.phase.batch_size or self.recipe.batch_size

    def _enter_phase(self) -> None:
        if not self.finished:
            self.players.enter(self.phase)
            self.observers.follow(self.players.optimizers.values())

    # -- one epoch ----------------------------------------------------------------------------------------------------

    def request(self) -> PassRequest:
        """Begins an epoch: learning rates, hooks, and what batches it wants."""
        self.players.set_rates(self.epoch_in_phase, self.phase_epochs)
        self._check_subset()
        context = self.epoch_context()
        with self._own_turn():
            self.student.train()
            self.method.train()
            for module in self.players.resting:
                module.eval()
            self.method.before_epoch(context)
            chosen = self.method.select(context)
        self.terms.begin_epoch()
        views = tuple(self.world.augmentation(v, self.recipe.augmentation, self.data) for v in self.reads.views)
        return PassRequest(
            data=self.data.key,
            seed=self.cell.seed,
            channels_last=self.recipe.channels_last,
            bf16=self.recipe.precision == "bf16",
            subset=self.subset,
            batch_size=self.batch_size,
            views=views,
            partners=self.reads.partners == "same_class",
            epoch=self.epoch,
            selection=checked_selection(chosen, len(context.targets)),
        )

    @property
    def subset(self) -> str:
        """The name of the subset that this phase trains on; a teacher's "train" is what the scenario gives to
        teachers.
        """
        own: str = self.cell.document["subset"]
        return own if self.phase.subset == "train" else self.phase.subset

    def _check_subset(self) -> None:
        """What the scenario keeps from this cell cannot be asked for by any phase."""
        own = self.cell.document["subset"]
        kept = {"validation", "private"} | ({"teacher"} if own != "teacher" else set())
        have = sorted(set(self.data.subsets) - (kept - {own}))
        if self.subset not in have:
            what = f"scenario '{self.cell.scenario}' gives this cell no subset '{self.subset}'"
            raise CellError("MethodError", f"{what} (it has {', '.join(have)})")

    def epoch_context(self) -> EpochContext:
        rows = self.data.subsets[self.subset]
        models = [t.model for t in self.teachers]
        return EpochContext(
            phase=self.phase.name,
            epoch=self.epoch_in_phase,
            epochs=self.phase_epochs,
            student=self.student,
            targets=self.data.targets[rows],
            predict=partial(self._predict, self.student, rows),
            predict_teacher=lambda k=0, positions=None: self._predict(models[k], rows, positions),
        )

    def _predict(self, model: nn.Module, rows: Tensor, positions: Tensor | None = None) -> Tensor:
        chosen = rows if positions is None else rows[positions.to(rows.device)]
        return predict(model, self.data.train, chosen, self.recipe)["logits"]

    def step(self, samples: Samples, teachers: TeacherBatch, progress: Tensor, measure: bool) -> None:
        """One batch: forward, losses, update."""
        info = StepInfo(self.phase.name, self.epoch_in_phase, self.phase_epochs, progress)
        batch = Batch(
            images=samples.views[0],
            targets=samples.targets,
            step=info,
            views=samples.views,
            indices=samples.indices if self.reads.indices else None,
            partners=samples.partners if self.reads.partners == "same_class" else None,
        )
        outputs = TeacherOutputs(self.teachers, teachers)
        reads = self.reads.teachers
        teacher: Any = None if reads == "none" else outputs[0] if reads == "one" else outputs
        with self._own_turn():
            if measure:
                with MemoryMeter() as meter:
                    self._update(batch, teacher, info)
                self.memory_bytes = meter.peak + self._standing_bytes()
            else:
                self._update(batch, teacher, info)
        self.images_seen += len(samples.targets)

    def _update(self, batch: Batch, teacher: Any, info: StepInfo) -> None:
        student, losses = self._losses(batch, teacher)
        tags = {name: self.method.terms.get(name, "task" if name == "ce" else "distill") for name in losses}
        self.method.update(
            Step(
                losses=losses,
                tags=tags,
                optimizers=self.players.optimizers,
                parameters=self.players.parameters,
                recompute=lambda: self._losses(batch, teacher)[1],
                info=info,
            )
        )
        with torch.no_grad():
            self.method.after_step(batch, student, teacher)
        self.terms.remember(losses)

    def _losses(self, batch: Batch, teacher: Any) -> tuple[Outputs, dict[str, Tensor]]:
        taps: Sequence[Tap] = self.reads.taps
        bf16 = self.recipe.precision == "bf16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=bf16, cache_enabled=False):
            views = tuple(self.student.run(view, taps) for view in batch.views)
        views[0].views = views
        terms = self.method.losses(batch, views[0], teacher)
        return views[0], self.terms.checked(terms, last_phase=self.phase_number == len(self.phases) - 1)

    def _standing_bytes(self) -> int:
        """Weights, buffers and optimiser state, which the cell holds between steps."""
        parameters = self.players.all_parameters()
        tensors = [*parameters, *self.student.buffers(), *self.method.buffers(), *self.players.held()]
        gradients = [p.grad for p in parameters if p.grad is not None]
        return tensor_bytes({id(t): t for t in tensors}.values()) + tensor_bytes(gradients)

    def end_epoch(self) -> Mapping[str, float]:
        """Hooks, curves, and the check that every loss was finite. Returns the epoch's mean of each term and the
        method's curves.
        """
        context = self.epoch_context()
        with self._own_turn():
            self.method.after_epoch(context)
            curves = dict(self.method.curves())
        values = self.terms.means(self.epoch + 1)
        self.epoch += 1
        self.epoch_in_phase += 1
        for name, value in {**values, **curves, **self.observers.end_epoch()}.items():
            self.history.append((self.epoch, "train", "", name, float(value)))
        if self.epoch_in_phase == self.phase_epochs:
            self.phase_number += 1
            self.epoch_in_phase = 0
            self._enter_phase()
        return {**values, **curves}

    # -- state --------------------------------------------------------------------------------------------------------

    @contextmanager
    def evaluated(self) -> Iterator[nn.Module]:
        """Everything of the cell in eval mode, under its own generators."""
        with self._own_turn():
            self.student.eval()
            self.method.eval()
            self.predictor.eval()
            yield self.predictor
            self.student.train()
            self.method.train()

    def keep_best(self, accuracy: float) -> None:
        """Remembers the present weights when their validation accuracy (percent) is the best so far."""
        if self.best is None or accuracy > self.best[0]:
            weights = {"student": self.student.state_dict(), "method": self.method.state_dict()}
            self.best = (accuracy, self.epoch, copy.deepcopy(weights))

    def restore_best(self) -> None:
        """Goes back to the best weights. `measurements` stays that of the whole training: what a privacy budget was
        spent on after the best epoch is spent.
        """
        if self.best is not None:
            self._measured = dict(self.method.measurements())
            self.student.load_state_dict(self.best[2]["student"])
            self.method.load_state_dict(self.best[2]["method"])

    def measurements(self) -> Mapping[str, float]:
        """The method's own numbers over its whole training."""
        return self.method.measurements() if self._measured is None else self._measured

    _COUNTERS = (
        "phase_number",
        "epoch_in_phase",
        "epoch",
        "images_seen",
        "own_seconds",
        "shared_seconds",
        "memory_bytes",
        "history",
        "best",
    )

    def _own_teachers(self) -> Sequence[Teacher | Ensemble]:
        """The copies of a method that changes its teachers."""
        return self.teachers if self.method.private_teacher else ()

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed run needs to give the same bits."""
        return {
            "student": self.student.state_dict(),
            "method": self.method.state_dict(),
            "players": self.players.state_dict(),
            "teachers": [t.model.state_dict() for t in self._own_teachers()],
            "random": self.random.state_dict(),
            "generators": [g.get_state() for g in self.generators],
            "observed": self.observers.epochs,
            "dropped": self.terms.dropped,
            "counters": {name: getattr(self, name) for name in self._COUNTERS},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for name, value in state["counters"].items():
            setattr(self, name, value)
        self.observers.epochs.update(state["observed"])
        self.terms.dropped |= state["dropped"]
        for self.phase_number in range(state["counters"]["phase_number"] + 1):
            self._enter_phase()  # each in turn, for the lasting optimisers that it makes
        self.student.load_state_dict(state["student"])
        self.method.load_state_dict(state["method"])
        self.players.load_state_dict(state["players"])
        for teacher, saved in zip(self._own_teachers(), state["teachers"], strict=True):
            teacher.model.load_state_dict(saved)
        self.random.load_state_dict(state["random"])
        for generator, saved in zip(self.generators, state["generators"], strict=True):
            generator.set_state(saved)
