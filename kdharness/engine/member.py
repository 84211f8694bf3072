"""A cell in its group: what it asks for, its steps, and what can be measured of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property, partial
from types import MappingProxyType
from typing import Any

from torch import Tensor, nn

from kdharness.api.method import EpochContext, Method
from kdharness.api.staged import StagedModel
from kdharness.api.step import StepInfo
from kdharness.data.batches import BatchRequest, Samples, checked_selection
from kdharness.data.mixing import mixing_request
from kdharness.data.prepare import Data
from kdharness.data.subsets import HIDDEN_SUBSETS
from kdharness.data.views import view_keys
from kdharness.device.torch_settings import settings_kept
from kdharness.engine.cell_state import CellState
from kdharness.engine.phase_clock import PhaseClock, Place
from kdharness.engine.seen_batch import batch_of, transformed, transforms
from kdharness.engine.shared_numbers import SharedNumbers
from kdharness.engine.stepper import EagerStepper, Stepper
from kdharness.engine.teacher_batch import TeacherBatch, TeacherOutputs
from kdharness.engine.teachers import AnyTeacher, Teacher
from kdharness.engine.world import World
from kdharness.errors import CellError
from kdharness.measure.averages import Averages
from kdharness.measure.predict import predict
from kdharness.measure.subject import Effort
from kdharness.planning.cell import Cell, canonical
from kdharness.protocol.recipe import Recipe
from kdharness.protocol.seeds import stream
from kdharness.results.history import HistoryRow


class Member:
    """A cell that trains. Its group calls `request`, `step` for each batch and `end_epoch`, until it has finished.

    number: its place in the job. state: all that is built of it. views: as its method declares them, and what a pass
    calls them. teachers: as the method reads them;
    reference_teachers: those that the student is measured against. sources: by key of a cell that it requires, the
    SHA-256 of the weights. test_logits: of the last evaluation, by predictor. begun: how often its present epoch was
    begun.
    """

    def __init__(
        self,
        cell: Cell,
        number: int,
        world: World,
        data: Data,
        reference_teachers: Sequence[Teacher],
        state: CellState,
        sources: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.cell = cell
        self.sources = sources
        self.number = number
        self.data = data
        self.device = world.device
        self.registry = world.registry
        self.costs = world.costs
        self.state = state
        self.predictor = state.predictor
        self.teachers = state.teachers
        self.observers = state.observers
        self.recipe = Recipe.model_validate(dict(cell.recipe))
        self.reads = state.method.reads
        self.reference_teachers = reference_teachers
        names = (self.registry.name_of("view", name) for name in self.reads.view_names(self.recipe.augmentation))
        self.views = tuple(zip(self.reads.declared_views, view_keys(names), strict=True))
        self.stepper: Stepper = EagerStepper(state, self.reads, self.views)
        self.test_logits: dict[str, Tensor] = {}
        self.begun = 1
        self._measurements: Mapping[str, float] | None = None

    # -- what is asked of it ------------------------------------------------------------------------------------------

    @property
    def student(self) -> StagedModel:
        return self.state.student

    @property
    def method(self) -> Method:
        return self.state.method

    @property
    def clock(self) -> PhaseClock:
        return self.state.clock

    @property
    def effort(self) -> Effort:
        return self.state.effort

    @property
    def history(self) -> list[HistoryRow]:
        return self.state.history

    @property
    def shared_teachers(self) -> Sequence[AnyTeacher]:
        """Those that others read too."""
        return () if self.method.private_teacher else self.teachers

    @property
    def epochs(self) -> int:
        return self.clock.epochs

    @property
    def finished(self) -> bool:
        return self.clock.finished

    @property
    def evaluation_due(self) -> bool:
        return self.clock.evaluation_due(self.cell.document["evaluation"]["every"])

    @property
    def validation(self) -> str:
        """The split that chooses the epoch: a teacher's is of what teachers see. A student that trains on what they see
        has the student's, for no budget pays for a choice by private images.
        """
        is_teachers = self.cell.document["subset"] == "teacher" and self.method.trains_on == "train"
        return "teacher_validation" if is_teachers else "validation"

    @property
    def validation_top1(self) -> float | None:
        return None if self.state.best is None else self.state.best.top1

    @property
    def averages(self) -> Averages | None:
        return self.state.averages

    def main_weights(self) -> AbstractContextManager[None]:
        return self.state.main_weights()

    def measurements(self) -> Mapping[str, float]:
        """The method's own numbers over its whole training."""
        return self.method.measurements() if self._measurements is None else self._measurements

    @contextmanager
    def isolated(self) -> Iterator[None]:
        """What runs in here is the cell's: it draws from its own generators, and leaves torch's settings alone."""
        self.device.set_precision(self.recipe.precision)
        with settings_kept(), self.state.random.active():
            yield

    # -- one epoch ----------------------------------------------------------------------------------------------------

    def request(self) -> BatchRequest:
        """Begins an epoch: hooks, and what batches it wants."""
        self._check_subset()
        context = self.epoch_context()
        self.state.renew_secrets()
        with self.isolated():
            self.student.train()
            self.method.train()
            for module in self.state.players.resting:
                module.eval()
            self.method.before_epoch(context)
            chosen = self.method.select(context)
        self.state.terms.begin_epoch()
        self.state.players.effect.begin_epoch(watch=self.clock.epoch_in_phase == 0 and self.clock.trains_student_last)
        return BatchRequest(
            data=self.data.key,
            seed=self.cell.seed,
            subset=self.subset,
            batch_size=self.clock.phase.batch_size or self.recipe.batch_size,
            epoch=self.clock.epoch,
            selection=checked_selection(chosen, len(context.targets)),
            repeats=self.recipe.repeats,
            mixing=mixing_request(self.state.players.phase_recipe, self.clock.epoch),
            shuffled=self.clock.phase.order == "shuffled",
        )

    @property
    def subset(self) -> str:
        """The name of the subset that this phase trains on.

        For a teacher, "train" means what the scenario gives to teachers.
        """
        own: str = self.cell.document["subset"]
        return own if self.clock.phase.subset == "train" else self.clock.phase.subset

    def _check_subset(self) -> None:
        """What the scenario keeps from this cell cannot be asked for by any phase."""
        own = self.cell.document["subset"]
        kept = {*HIDDEN_SUBSETS} | ({"teacher"} if own != "teacher" else set())
        have = sorted(set(self.data.subsets) - (kept - {own}))
        if self.subset not in have:
            what = f"scenario '{self.cell.scenario}' gives this cell no subset '{self.subset}'"
            raise CellError("MethodError", f"{what} (it has {', '.join(have)})")

    def epoch_context(self) -> EpochContext:
        rows = self.data.subsets[self.subset]
        models = [t.model for t in self.teachers]
        return EpochContext(
            phase=self.clock.phase.name,
            epoch=self.clock.epoch_in_phase,
            epochs=self.clock.phase_epochs,
            student=self.student,
            targets=self.data.targets[rows],
            predict=partial(self._predict, self.student, rows),
            predict_teacher=lambda k=0, positions=None: self._predict(models[k], rows, positions),
            begun=self.begun,
        )

    def _predict(self, model: nn.Module, rows: Tensor, positions: Tensor | None = None) -> Tensor:
        chosen = rows if positions is None else rows[positions.to(rows.device)]
        return predict(model, self.data.train, chosen, self.device)["logits"]

    def info(self, place: Place, numbers: SharedNumbers) -> StepInfo:
        """What a step is told of its place. numbers: of its batch."""
        players = self.state.players
        players.set_rates(place)
        return StepInfo(
            phase=self.clock.phase.name,
            epoch=numbers.whole(place.epoch),
            epochs=place.epochs,
            progress=numbers.real(place.share_done),
            rates=MappingProxyType(players.rates),
        )

    def step(self, samples: Samples, teachers: TeacherBatch, info: StepInfo, measure: bool) -> None:
        """One batch. measure: whether its memory is measured, which takes time."""
        outputs = TeacherOutputs(self.teachers, teachers, self.views, self.reads.of_teachers)
        self.state.renew_secrets()
        with self.isolated():
            if measure:
                with samples.shelf.ledger.metered(self.device.memory_meter()) as meter:
                    self.stepper.step(samples, outputs, info)
                self.effort.memory_bytes = meter.peak + self.state.standing_bytes()
            else:
                self.stepper.step(samples, outputs, info)
        self.effort.images_seen += len(samples.targets)

    @property
    def transform_key(self) -> tuple[object, ...] | None:
        """Cells for which it is equal transform a batch alike; None for those that do not transform it."""
        if not transforms(self.method):
            return None
        return (self._identity, self.clock.phase.name, self.clock.epoch_in_phase, self.clock.phase_epochs)

    @cached_property
    def _identity(self) -> str:
        return canonical({"method": [self.cell.method, dict(self.cell.parameters)], "recipe": dict(self.cell.recipe)})

    def transformed(self, samples: Samples, info: StepInfo, *axes: str | int) -> Samples:
        """The batch as the method transforms it. axes: name the batch, its number last.

        The values of the very first one are looked at, which waits for the device.
        """
        parameters = canonical(dict(self.cell.parameters))
        seed = stream("transform", self.cell.method, parameters, *axes)
        with self.isolated():
            batch = batch_of(samples, info, self.reads, self.views, self.state.players.phase_recipe)
            is_first = self.clock.epoch == 0 and axes[-1] == 0
            classes = self.data.num_classes if is_first else None
            return transformed(self.method, batch, samples, self.views, seed, self.device, classes)

    @property
    def _student_alone(self) -> bool:
        """Whether the bare student is deployed, and trained in one go."""
        return len(self.clock.phases) == 1 and type(self.method).predictor is Method.predictor

    def end_epoch(self) -> Mapping[str, float]:
        """Hooks, curves, and the check that every loss was finite and that something was trained.

        Returns the epoch's mean of each term, and the method's curves.
        """
        context = self.epoch_context()
        with self.isolated():
            self.method.after_epoch(context)
            # A number may be given as a tensor, which no other process is to be handed.
            curves = {str(name): _number(value) for name, value in self.method.curves().items()}
        before = {name: value for e, split, _, name, value in self.history if (e, split) == (self.clock.epoch, "train")}
        values = self.state.terms.means(self.clock.epoch + 1, self.state.players.all_trained, before)
        self.state.players.effect.check(values, self.clock.epoch + 1, self._student_alone)
        phase_ended = self.clock.tick()
        for name, value in {**values, **curves, **self.observers.end_epoch()}.items():
            self.history.append((self.clock.epoch, "train", "", name, value))
        if phase_ended:
            self.state.enter_phase()
        return {**values, **curves}

    # -- the chosen epoch ---------------------------------------------------------------------------------------------

    def restore_best(self) -> None:
        """Goes back to the best weights.

        `measurements` stays that of the whole training: a privacy budget that was spent after the best epoch is spent.
        """
        if self.state.best is not None:
            self._measurements = dict(self.method.measurements())
            self.state.restore_best()

    # -- checkpoints --------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        return {"device": self.device.kind, "sources": dict(self.sources), **self.state.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.state.load_state_dict(state)


def _number(value: Any) -> float:
    """What a method gave as a number, also where it is still a tensor with a gradient."""
    return float(value.detach() if isinstance(value, Tensor) else value)
