"""What a cell must offer so that it can be measured. The engine's cells do; measuring knows no engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn

from kdharness.api.method import Method
from kdharness.api.staged import StagedModel
from kdharness.data.prepare import Data
from kdharness.device.device import Device
from kdharness.measure.averages import Averages
from kdharness.measure.costs import CostCache
from kdharness.measure.observers import Observers
from kdharness.planning.cell import Cell
from kdharness.protocol.recipe import Recipe
from kdharness.registry.manager import Registry
from kdharness.results.history import HistoryRow


class ReferenceTeacher(Protocol):
    """A teacher that a student is measured against. digest: of its file."""

    @property
    def model(self) -> StagedModel: ...
    @property
    def digest(self) -> str: ...

    def logits_on(self, split: str) -> Tensor:
        """[N, classes] on the CPU, computed when first asked for."""


class Guarded(Protocol):
    """What a method reads as a teacher: it can be put right when somebody changed it."""

    @property
    def model(self) -> StagedModel: ...
    @property
    def touched(self) -> bool: ...
    @property
    def rebuilt(self) -> bool: ...

    def restore(self) -> None: ...


@dataclass
class Effort:
    """What a cell's training took so far.

    images_seen: training images, each as often as it was seen.
    own_seconds: of the cell's own steps.
    shared_seconds: its share of what was made once for several cells and read by it.
    alone_seconds: its own steps and the full time of all that it read, as if it had trained alone.
    memory_bytes: the most that its own tensors held at one time; 0 before it was measured.
    """

    images_seen: int = 0
    own_seconds: float = 0.0
    shared_seconds: float = 0.0
    alone_seconds: float = 0.0
    memory_bytes: int = 0


class Subject(Protocol):
    """A cell with its networks.

    student: the network that is trained.
    predictor: what is evaluated.
    teachers: what the method reads.
    reference_teachers: those that the student is measured against.
    epochs: of its whole training.
    validation_top1: percent; None without a validation split.
    averages: of the weights; None where the recipe has none.
    """

    cell: Cell
    recipe: Recipe
    data: Data
    device: Device
    registry: Registry
    costs: CostCache
    observers: Observers

    @property
    def student(self) -> StagedModel: ...
    @property
    def method(self) -> Method: ...
    @property
    def predictor(self) -> nn.Module: ...
    @property
    def teachers(self) -> Sequence[Guarded]: ...
    @property
    def reference_teachers(self) -> Sequence[ReferenceTeacher]: ...
    @property
    def history(self) -> Sequence[HistoryRow]: ...
    @property
    def effort(self) -> Effort: ...
    @property
    def epochs(self) -> int: ...
    @property
    def validation_top1(self) -> float | None: ...

    @property
    def averages(self) -> Averages | None: ...

    def main_weights(self) -> AbstractContextManager[None]:
        """What is deployed has the weights that the recipe evaluates, for the duration."""

    def isolated(self) -> AbstractContextManager[None]:
        """What runs in here draws from the cell's own generators, and leaves torch's settings alone."""

    def measurements(self) -> Mapping[str, float]:
        """The method's own numbers over its whole training."""
