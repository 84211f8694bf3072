"""The interface of a distillation method."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Protocol

import torch
from torch import Tensor, nn
from typing_extensions import TypeVar

from kdharness.api.declarations import MixedLabels, Phase, Reads
from kdharness.api.requirements import Pair, Requirement
from kdharness.api.shapes import ModelShape
from kdharness.api.staged import Outputs, StagedModel
from kdharness.api.step import Batch, Step

# What `losses` gets of the teachers: Outputs, Sequence[Outputs] or None, as `reads.teachers` says.
TeacherT = TypeVar("TeacherT", default=Outputs)


def _no_secrets(device: bool) -> torch.Generator:
    raise TypeError("this context was made without make_secret_generator")


@dataclass(frozen=True)
class BuildContext:
    """What a method may know when it builds its parts. Never test or private data, never the benchmark's name.

    num_classes: how many classes there are.
    input_shape: (C, H, W).
    student: shapes of the student's taps.
    teachers: the same of each teacher.
    student_model: the network, on the meta device when a plan is made.
    teacher_models: likewise.
    targets: int64 [n], labels of the subset trained on; none when a plan is made.
    subset_sizes: samples by name of the subset.
    epochs: the recipe's.
    batch_size: the recipe's.
    device: where the cell trains.
    make_generator: what `generator` calls.
    new_model: what `peer` calls.
    make_secret_generator: what `secret_generator` calls.
    class_sizes: images of each class in the subset trained on, on the host; none when a plan is made.
    """

    num_classes: int
    input_shape: tuple[int, int, int]
    student: ModelShape
    teachers: tuple[ModelShape, ...]
    student_model: StagedModel
    teacher_models: tuple[StagedModel, ...]
    targets: Tensor
    subset_sizes: Mapping[str, int]
    epochs: int
    batch_size: int
    device: torch.device
    make_generator: Callable[[str, bool], torch.Generator]
    new_model: Callable[[str, str], StagedModel]
    make_secret_generator: Callable[[bool], torch.Generator] = _no_secrets
    class_sizes: tuple[int, ...] = ()

    @property
    def teacher(self) -> ModelShape:
        """The only, or first, teacher's shapes."""
        return self.teachers[0]

    def generator(self, name: str, device: bool = False) -> torch.Generator:
        """A generator whose stream depends on the method, `name` and the seed alone; its state is checkpointed.

        device: whether it draws on the device, for draws in a step; otherwise on the CPU. The numbers of the two differ
        but where the device is the CPU.
        """
        return self.make_generator(name, device)

    def secret_generator(self, device: bool = False) -> torch.Generator:
        """A generator for noise that protects. For every epoch and step it has a new state from the system's source of
        secrets, which is kept nowhere. For methods with `secret_noise` alone.

        device: as in `generator`.
        """
        return self.make_secret_generator(device)

    def peer(self, role: str, model: str | None = None) -> StagedModel:
        """A new network, by default of the student's architecture, initialised from the stream of `role` (DML's
        second student). Another model must be one of the teachers' or named by `Method.networks`.
        """
        return self.new_model(model or self.student.name, role)


class Predict(Protocol):
    """Gives logits [n, classes] for positions (int64 [n]) of the phase's subset, or for all of it."""

    def __call__(self, positions: Tensor | None = None) -> Tensor: ...


class PredictTeacher(Protocol):
    """Gives a teacher's logits [n, classes] likewise. k: the teacher's number."""

    def __call__(self, k: int = 0, positions: Tensor | None = None) -> Tensor: ...


@dataclass(frozen=True)
class EpochContext:
    """What `select`, `before_epoch` and `after_epoch` get.

    phase: the phase's name.
    epoch: counted from 0 within the phase.
    epochs: the phase's length.
    student: the network.
    targets: int64 [n], labels of the phase's subset.
    predict: called with positions in the phase's subset (int64 [n]), or for all of it with nothing: the student's
        present logits [n, classes], in eval mode.
    predict_teacher: called with a teacher's number k and positions: its logits [n, classes] likewise.
    begun: how often this epoch was begun: more than once where a run was killed, or the cell trained again. With
        `secret_noise` each time was a release of its own, and is to be counted; without, it is 1.
    """

    phase: str
    epoch: int
    epochs: int
    student: StagedModel
    targets: Tensor
    predict: Predict
    predict_teacher: PredictTeacher
    begun: int = 1


class Method(nn.Module, Generic[TeacherT]):
    """A distillation method. Subclass it, name it, give it typed parameters with defaults, and write `losses`.

    One instance serves one cell. It is an nn.Module: modules, parameters and buffers assigned in `build` are moved,
    trained and checkpointed with it (plain Python state: override get_extra_state and set_extra_state).
    For type checkers a method that reads several teachers is a Method[Sequence[Outputs]], one that reads none a
    Method[None].

    Class attributes:
        name: [a-z][a-z0-9_]*. paper: authors, title, venue, year.
        regime: what the method uses beside labels and one teacher; ranks are within a regime.
        needs_scenario: a scenario that a plan adds for this method.
        ablations: named parameter sets that `kdharness ablate` runs beside the dropped terms.
        published: by pair, "teacher:student", the parameters that its authors chose for that pair where they differ
            from the defaults; under "*" those for all pairs, over which the pair's own stand. `--track published` runs
            with them; rankings are made with one setting for all pairs.
        unproved: what its proof lacks; such a method is left out of `all`. Empty where it is proved.

    Class attributes, or properties where they depend on parameters:
        reads: what `losses` reads.
        terms: each loss term's tag, "task", "distill" or "player"; ablations drop terms by these names.
        private_teacher: True for a method that changes its teacher; it then gets a copy of its own.
        capturable: whether the operations of a step are the same in all steps of a phase, so that a recorded step can
            be replayed: nothing in it is drawn, chosen or counted in Python.
        secret_noise: True where it draws from `context.secret_generator`. No other training of the cell gives the same
            numbers then, and each is one more release of what the noise protects.
        trains_on: the data that its student is trained on, a name that the scenario defines; "train" in its phases is
            this one. A method with "teacher" trains on private images, and states the budget that this spends.
        withheld: terms whose values tell what a teacher said that is to stay private. They train, and are shown and
            written nowhere.
        mixed_labels: what the method is where a recipe mixes images. "mix": it reads labels through `batch.task_loss`
            alone. "larger": its own terms read `batch.targets`, the label with the larger share. "refuse": it is not
            defined for them, and is skipped.
    """

    name: ClassVar[str]
    paper: ClassVar[str] = ""
    regime: ClassVar[str] = ""
    needs_scenario: ClassVar[str | None] = None
    ablations: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    published: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    unproved: ClassVar[str] = ""

    def __init__(self, **parameters: Any) -> None:
        super().__init__()
        for key, value in parameters.items():
            setattr(self, key, value)

    # Properties here, so that a subclass may have an attribute or a property of that name.

    @property
    def reads(self) -> Reads:
        return Reads()

    @property
    def terms(self) -> Mapping[str, str]:
        return {}

    @property
    def private_teacher(self) -> bool:
        return False

    @property
    def capturable(self) -> bool:
        return True

    @property
    def secret_noise(self) -> bool:
        return False

    @property
    def trains_on(self) -> str:
        return "train"

    @property
    def withheld(self) -> Sequence[str]:
        return ()

    @property
    def mixed_labels(self) -> MixedLabels:
        return "refuse"

    # -- planning -----------------------------------------------------------------------------------------------------

    def requires(self, pair: Pair) -> Sequence[Requirement]:
        """The cells that must be done first, one per teacher. By default the pair's teachers, trained on labels."""
        if self.reads.teachers == "none":
            return []
        return [Requirement(model=name) for name in pair.teachers]

    def networks(self, pair: Pair) -> Sequence[str]:
        """Models, besides the student's and the teachers', that `build` makes new networks of (`context.peer`).

        They enter the cell's key.
        """
        return ()

    def optimizers(self, pair: Pair) -> Sequence[str]:
        """Optimisers, besides the recipe's, that players of its phases name. They enter the cell's key.

        Needed only where `phases` does not work before `build`.
        """
        return ()

    def skip(self, context: BuildContext) -> str | None:
        """Why this method cannot serve these models, or None. Called on the meta device, before `build`."""
        return None

    # -- building -----------------------------------------------------------------------------------------------------

    def build(self, context: BuildContext) -> None:
        """Makes the method's own modules, banks and counters. Runs under the method's own random stream."""

    def phases(self) -> Sequence[Phase]:
        """The phases of training, in order."""
        return [Phase()]

    # -- training -----------------------------------------------------------------------------------------------------

    def select(self, epoch: EpochContext) -> Tensor | None:
        """Positions in the phase's subset to train on in this epoch (int64 [n]), or None for all of it.

        They are shuffled, unless the phase's `order` is "selection".
        """
        return None

    def before_epoch(self, epoch: EpochContext) -> None:
        """Called before each epoch, the student in train mode."""

    def transform(self, batch: Batch, generator: torch.Generator) -> Batch:
        """The batch that student and teachers see instead: `dataclasses.replace(batch, images=..., soft_targets=...)`.

        It is for what a recipe's view and mixing do not do, and decided by the batch, the method's parameters and the
        generator alone: cells of one group share the result, and the teachers' run on it, where those are equal. New
        `images` replace their view; the number of samples may change. Nothing is changed in place.

        generator: on the CPU, a new one for each batch.
        """
        return batch

    def losses(self, batch: Batch, student: Outputs, teacher: TeacherT) -> Mapping[str, Tensor]:
        """The loss terms by name, each a scalar tensor with its weight applied. The harness sums them.

        teacher: one Outputs, a sequence of them, or None, as `reads.teachers` says; without gradient.
        """
        raise TypeError(f"method '{self.name}' does not define losses()")

    def update(self, step: Step) -> None:
        """One update of the trained parts. Override it for alternate players, gradients per term, or noise."""
        step.zero_grad()
        step.backward()
        step.apply()

    def after_step(self, batch: Batch, student: Outputs, teacher: TeacherT) -> None:
        """Called after each update, without gradient: memory banks, counters."""

    def after_epoch(self, epoch: EpochContext) -> None:
        """Called after each epoch."""

    # -- results ------------------------------------------------------------------------------------------------------

    def predictor(self, student: StagedModel, teachers: Sequence[StagedModel]) -> nn.Module:
        """What is evaluated and deployed. Its forward takes images and returns logits, or a dict of named logits, the
        main one first.
        """
        return student

    def deployables(self, student: StagedModel, teachers: Sequence[StagedModel]) -> Mapping[str, nn.Module]:
        """For predictors with several outputs: by output name, the network that gives that output alone and computes
        nothing else.

        Parameters, multiply-accumulates and latency of each become rows of metrics.csv.
        """
        return {}

    def measurements(self) -> Mapping[str, float]:
        """The method's own numbers at the end of training; columns x_<method>_<name>."""
        return {}

    def curves(self) -> Mapping[str, float]:
        """The method's own numbers at the end of an epoch; rows of history.csv."""
        return {}
