"""What metrics see."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor, nn

from kdharness.api.named import Named
from kdharness.api.staged import StagedModel


@dataclass(frozen=True)
class Predictions:
    """Outputs for every sample of one split, on the CPU.

    logits: float32 [N, classes].
    targets: int64 [N].
    indices: int64 [N], positions in the dataset's split.
    teacher_logits: float32 [N, classes] for metrics that declare needs_teacher, else None. Of several teachers, the
        logarithm of their mean probability.
    hidden: what the scenario hides from training, by name: "clean_targets" int64 [N], "corrupted" bool [N]; "private"
        bool [N], whether teachers train on it; "canary" bool [N].
    """

    logits: Tensor
    targets: Tensor
    indices: Tensor
    teacher_logits: Tensor | None = None
    hidden: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Evaluation:
    """The outputs of one named predictor.

    predictor: its name.
    splits: by name, those that the metric asked for.
    """

    predictor: str
    splits: Mapping[str, Predictions]

    def __post_init__(self) -> None:
        hint = "; the spec's `splits` says which a metric reads"
        object.__setattr__(self, "splits", Named(self.splits, "it reads no split", hint))

    @property
    def test(self) -> Predictions:
        """Those of the test split."""
        return self.splits["test"]


@dataclass(frozen=True)
class Inspection:
    """A finished cell's networks, in eval mode and without gradient.

    They are not to be changed: `replaced` shows them with other weights.

    student: the trained network.
    predictor: what is evaluated, which may be the student itself.
    deployables: of a predictor with several outputs, by name, the network that gives that output alone; else empty.
    main: the name of the main output.
    predict: with a split's name, every output on it by the predictor's name, with the present weights.
    batches: with a split's name, its images [n, C, H, W], pixels in [0, 1], and targets int64 [n] on the device,
        batch by batch.
    precision: the cell's own, as a context for forward passes that `predict` does not make.
    """

    student: StagedModel
    predictor: nn.Module
    deployables: Mapping[str, nn.Module]
    main: str
    predict: Callable[[str], Mapping[str, Predictions]]
    batches: Callable[[str], Iterator[tuple[Tensor, Tensor]]]
    precision: Callable[[], AbstractContextManager[object]]

    def networks(self) -> dict[str, nn.Module]:
        """The network that gives each output, by the output's name. A predictor with one output is that network."""
        return dict(self.deployables) or {self.main: self.predictor}

    def parameters(self) -> dict[str, nn.Parameter]:
        """Every parameter that an output depends on, each once: the student's as "student.conv1.weight", whatever
        the method; those that a method adds as "predictor.…".
        """
        found: dict[int, tuple[str, nn.Parameter]] = {}
        parts = (("student", self.student.network), ("predictor", self.predictor), *self.deployables.items())
        for root, module in parts:
            for name, parameter in module.named_parameters():
                found.setdefault(id(parameter), (f"{root}.{name}", parameter))
        return dict(found.values())

    @contextmanager
    def replaced(self, values: Mapping[str, Tensor]) -> Iterator[None]:
        """The networks with other values of some `parameters`. The tensors that held the weights are put aside and
        put back, whatever happens: not a bit of them changes.
        """
        parameters = self.parameters()
        held = {name: parameters[name].data for name in values}
        try:
            for name, value in values.items():
                if value.shape != held[name].shape:
                    raise ValueError(f"'{name}' is {list(held[name].shape)}, not {list(value.shape)}")
                parameters[name].data = value.to(held[name])
            yield
        finally:
            for name, tensor in held.items():
                parameters[name].data = tensor


class Observer(Protocol):
    """Looks on while a cell trains, and changes nothing."""

    def before_update(self, parameters: Sequence[nn.Parameter]) -> None:
        """Called whenever an optimiser is about to change the student's `parameters`, by what is in their `.grad`.
        Methods that write weights themselves do not come by here.
        """

    def values(self) -> Mapping[str, float]:
        """Numbers of the epoch that just ended, for history.csv; the next one begins."""
