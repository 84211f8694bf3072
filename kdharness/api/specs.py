"""Spec records of methods, datasets, metrics and executors: what the plugin hooks return. A model's stands with the
declarations. Importing this module loads no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kdharness.api.parameters import Parameter, check_name, class_parameters

if TYPE_CHECKING:
    from kdharness.api.data import DataRequest, DatasetInfo, ImageDataset
    from kdharness.api.evaluation import Evaluation, Inspection, Observer
    from kdharness.api.executors import Executor, WorkerSettings
    from kdharness.api.method import Method
    from kdharness.api.staged import StagedModel


@dataclass(frozen=True)
class MethodSpec:
    """A distillation method. `revision`: raised by hand when its numbers change; None: the package's version stands
    for it.
    """

    name: str
    factory: type[Method[Any]]
    summary: str
    paper: str
    parameters: tuple[Parameter, ...]
    revision: int | None = None

    @classmethod
    def of(cls, method: type[Method[Any]], revision: int | None = None) -> MethodSpec:
        """The spec of a Method subclass, read from its class attributes and docstring."""
        from kdharness.api.method import Method as Base

        name = check_name(getattr(method, "name", None), "method")
        doc = (method.__doc__ or "").strip().splitlines()
        return cls(name, method, doc[0] if doc else "", method.paper, class_parameters(method, Base), revision)


@dataclass(frozen=True)
class DatasetSpec:
    """A dataset. `describe` is cheap and reads no images (identity: an archive's checksum or the packed cache's
    digest);
    `load` reads and verifies. Both raise DatasetMissing with one line that says what to do.

    local_parameters: names of parameters that say where the data lies, not what it is: they do not enter a cell's key.
    """

    name: str
    describe: Callable[[DataRequest], DatasetInfo]
    load: Callable[[DataRequest], ImageDataset]
    summary: str = ""
    parameters: tuple[Parameter, ...] = ()
    local_parameters: tuple[str, ...] = ()
    paper: str = ""
    revision: int | None = None

    def __post_init__(self) -> None:
        check_name(self.name, "dataset")


@dataclass(frozen=True)
class MetricSpec:
    """A metric: exactly one of three functions, by what it looks at.

    compute: per-sample outputs. Called once per named predictor of a finished cell; returns numbers by name.
    inspect: the networks. Called once per finished cell with an Inspection; returns numbers by predictor and name.
    observe: the training. Called with the student when training starts; returns an Observer, whose numbers of each
        epoch become curves, and whose means over the epochs are the cell's.
    Numbers are called as the metric is, or begin with its name and an underscore: claims know their direction and
    unit by that, and for observers it is a must.

    splits: which splits `compute` or `inspect` reads; it is left out where a scenario has no such split.
    needs_teacher: left out for cells without a teacher; `compute` then finds the teacher's logits on every split it
        reads.
    hidden: names of what a scenario hides from training ("corrupted"); it is left out where there is no such thing.
    on_request: too slow for every run: "all" does not mean it, a benchmark that wants it names it.
    higher_is_better, unit: of the numbers it returns.
    """

    name: str
    compute: Callable[[Evaluation], Mapping[str, float]] | None = None
    summary: str = ""
    higher_is_better: bool = True
    unit: str = ""
    splits: tuple[str, ...] = ("test",)
    needs_teacher: bool = False
    paper: str = ""
    hidden: tuple[str, ...] = ()
    inspect: Callable[[Inspection], Mapping[str, Mapping[str, float]]] | None = None
    observe: Callable[[StagedModel], Observer] | None = None
    on_request: bool = False

    def __post_init__(self) -> None:
        check_name(self.name, "metric")
        if sum(given is not None for given in (self.compute, self.inspect, self.observe)) != 1:
            raise ValueError(f"metric '{self.name}' must have one of compute, inspect and observe")

    @property
    def function(self) -> Callable[..., Any] | None:
        """The one that it has."""
        return self.compute or self.inspect or self.observe

    def owns(self, number: str) -> bool:
        """Whether a number of this name can be this metric's."""
        return number == self.name or number.startswith(f"{self.name}_")


@dataclass(frozen=True)
class ExecutorSpec:
    """Where groups run. `factory(settings)`, called with WorkerSettings, gives an Executor."""

    name: str
    factory: Callable[[WorkerSettings], Executor]
    summary: str = ""

    def __post_init__(self) -> None:
        check_name(self.name, "executor")
