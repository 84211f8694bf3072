"""The interface of a distillation method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from kdharness.api.declarations import Phase, Reads
from kdharness.api.requirements import Pair, Requirement
from kdharness.api.shapes import ModelShape
from kdharness.api.step import Batch, Step

if TYPE_CHECKING:
    from collections.abc import Callable

    from kdharness.api.staged import Outputs, StagedModel


@dataclass(frozen=True)
class BuildContext:
    """What a method may know when it builds its parts. Never test or private data, never the benchmark's name.

    student, teachers: shapes; student_model, teacher_models: the networks (on the meta device when a plan is made);
    targets: int64 labels of the subset trained on ([0] when a plan is made); subset_sizes: samples by subset name;
    epochs, batch_size: the recipe's.
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
    make_generator: Callable[[str], torch.Generator]
    new_model: Callable[[str, str], StagedModel]

    @property
    def teacher(self) -> ModelShape:
        """The only, or first, teacher's shapes."""
        return self.teachers[0]

    def generator(self, name: str) -> torch.Generator:
        """A CPU generator whose stream depends on the method, `name` and the seed alone; its state is checkpointed."""
        return self.make_generator(name)

    def peer(self, role: str, model: str | None = None) -> StagedModel:
        """A new network, by default of the student's architecture, initialised from the stream of `role` (DML's
        second student). Another model must be one of the teachers' or named by `Method.networks`.
        """
        return self.new_model(model or self.student.name, role)


@dataclass(frozen=True)
class EpochContext:
    """What `select`, `before_epoch` and `after_epoch` get.

    predict: logits [n, classes] of the student in eval mode for positions of the phase's subset (all when None);
    predict_teacher: the same for teacher number k. targets: labels of the phase's subset.
    """

    phase: str
    epoch: int
    epochs: int
    student: StagedModel
    targets: Tensor
    predict: Callable[..., Tensor]
    predict_teacher: Callable[..., Tensor]


class Method(nn.Module):
    """A distillation method. Subclass it, name it, give it typed parameters with defaults, and write `losses`.

    One instance serves one cell. It is an nn.Module: modules, parameters and buffers assigned in `build` are moved,
    trained and
    checkpointed with it (plain Python state: override get_extra_state and set_extra_state).

    Class attributes:
        name: [a-z][a-z0-9_]*. paper: authors, title, venue, year.
        reads: what `losses` reads (may be a property where it depends on parameters).
        terms: each loss term's tag, "task", "distill" or "player"; ablations drop terms by these names.
        regime: what the method uses beside labels and one teacher; ranks are within a regime.
        needs_scenario: a scenario that a plan adds for this method.
        ablations: named parameter sets that `kdharness ablate` runs beside the dropped terms.
        private_teacher: True for a method that changes its teacher; it then gets a copy of its own.
    """

    name: ClassVar[str]
    paper: ClassVar[str] = ""
    reads: ClassVar[Reads] = Reads()
    terms: ClassVar[Mapping[str, str]] = {}
    regime: ClassVar[str] = ""
    needs_scenario: ClassVar[str | None] = None
    ablations: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    private_teacher: ClassVar[bool] = False

    def __init__(self, **parameters: Any) -> None:
        super().__init__()
        for key, value in parameters.items():
            setattr(self, key, value)

    # -- planning -----------------------------------------------------------------------------------------------------

    def requires(self, pair: Pair) -> Sequence[Requirement]:
        """The cells that must be done first, one per teacher. By default the pair's teachers, trained on labels."""
        if self.reads.teachers == "none":
            return []
        return [Requirement(model=name) for name in pair.teachers]

    def networks(self, pair: Pair) -> Sequence[str]:
        """Models, besides the student's and the teachers', that `build` makes new networks of (`context.peer`); they
        enter the cell's key.
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
        """Positions in the phase's subset to train on in this epoch (int64 [n]), or None for all of it."""
        return None

    def before_epoch(self, epoch: EpochContext) -> None:
        """Called before each epoch, the student in train mode."""

    def losses(self, batch: Batch, student: Outputs, teacher: Any) -> Mapping[str, Tensor]:
        """The loss terms by name, each a scalar tensor with its weight applied. The harness sums them.

        teacher: one Outputs, a sequence of them, or None, as `reads.teachers` says; without gradient.
        """
        raise TypeError(f"method '{self.name}' does not define losses()")

    def update(self, step: Step) -> None:
        """One update of the trained parts. Override it for alternate players, gradients per term, or noise in
        gradients.
        """
        step.zero_grad()
        step.backward()
        step.apply()

    def after_step(self, batch: Batch, student: Outputs, teacher: Any) -> None:
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
