"""Spec records: what the plugin hooks return. Importing this module loads no torch."""

from __future__ import annotations

import functools
import inspect
import math
import operator
import re
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import TypeAdapter, ValidationError

if TYPE_CHECKING:
    from torch import nn

    from kdharness.api.data import DataRequest, DatasetInfo, ImageDataset
    from kdharness.api.evaluation import Evaluation, Inspection, Observer
    from kdharness.api.executors import Executor, WorkerSettings
    from kdharness.api.method import Method
    from kdharness.api.staged import StagedModel

NAME = re.compile(r"[a-z][a-z0-9_]*\Z")

Tap = Literal["stages", "pre_activations", "embedding"]


def check_name(name: object, what: str) -> str:
    """`name`, if it is a valid plugin name ([a-z][a-z0-9_]*); ValueError otherwise."""
    if not isinstance(name, str) or not NAME.match(name):
        raise ValueError(f"{what} name {name!r} is not of the form [a-z][a-z0-9_]*")
    return name


@dataclass(frozen=True)
class Parameter:
    """One typed parameter with its default. Values from the command line and from TOML are coerced to `type`."""

    name: str
    type: Any
    default: Any

    @cached_property
    def _adapter(self) -> TypeAdapter[Any]:
        return TypeAdapter(self.type)

    def coerce(self, value: Any) -> Any:
        """`value` as this parameter's type ("4", 4 and 4.0 are one float). ValueError when it cannot be."""
        if isinstance(value, str) and typing.get_origin(_bare(self.type)) in (tuple, list):
            value = [part.strip() for part in value.strip("[]() ").split(",") if part.strip()]
        try:
            return self._adapter.validate_python(value)
        except ValidationError as error:
            raise ValueError(f"{value!r} is not a valid {self.type_name}: {error.errors()[0]['msg']}") from None

    def canonical(self, value: Any) -> Any:
        """`value` as JSON holds it: tuples as lists, enums as values, infinity as "inf". ValueError for nan."""
        return _as_json(self._adapter.dump_python(self.coerce(value), mode="json"))

    @property
    def type_name(self) -> str:
        """As listings and messages show it, without the limits of an Annotated type."""
        bare = _bare(self.type)
        return (
            bare.__name__ if isinstance(bare, type) and not typing.get_args(bare) else str(bare).replace("typing.", "")
        )


def _bare(kind: Any) -> Any:
    """A type without what Annotated adds to it, or to its parts."""
    if typing.get_origin(kind) is typing.Annotated:
        return _bare(typing.get_args(kind)[0])
    arguments = typing.get_args(kind)
    if not arguments or typing.get_origin(kind) is typing.Literal:
        return kind
    parts = tuple(_bare(part) for part in arguments)
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return functools.reduce(operator.or_, parts)
    return typing.get_origin(kind)[parts]


def _as_json(value: Any) -> Any:
    if isinstance(value, list):
        return [_as_json(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _as_json(item) for key, item in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        if math.isnan(value):
            raise ValueError("nan is not a number")
        return str(value)
    return value


def class_parameters(owner: type, stop: type) -> tuple[Parameter, ...]:
    """The annotated class attributes with defaults of `owner` and its bases below `stop`, base first."""
    found: dict[str, Parameter] = {}
    for base in reversed(owner.__mro__):
        if base is stop or not issubclass(base, stop):
            continue
        hints = typing.get_type_hints(base, include_extras=True)
        for name in inspect.get_annotations(base):
            hint = hints[name]
            if name.startswith("_") or hint is ClassVar or typing.get_origin(hint) is ClassVar:
                continue
            if name not in base.__dict__:
                raise ValueError(f"parameter '{name}' of {owner.__name__} has no default")
            if name == "without":
                raise ValueError(f"parameter 'without' of {owner.__name__} is reserved by the harness")
            found[name] = Parameter(name, hint, base.__dict__[name])
    return tuple(found.values())


@dataclass(frozen=True)
class Reads:
    """What a method's `losses` reads. What is not declared is not computed.

    teachers: "none", "one" (`teacher` is one Outputs) or "many" (`teacher` is a sequence of Outputs, one per teacher,
        each computed when it is first asked for). To a method that reads one, the several teachers of a pair are
        shown as one ensemble: its logits are the logarithm of their mean probabilities, and it has no taps.
    taps: of "stages", "pre_activations", "embedding": what Outputs of student and teachers hold beside the logits.
    indices: `batch.indices`, positions in the cell's training subset.
    views: the augmentation of each view; "recipe" is the recipe's own, "weak" and "none" are the others.
    partners: "same_class" adds `batch.partners`, for each sample another image of its class.
    """

    teachers: Literal["none", "one", "many"] = "one"
    taps: tuple[Tap, ...] = ()
    indices: bool = False
    views: tuple[str, ...] = ("recipe",)
    partners: Literal["none", "same_class"] = "none"


@dataclass(frozen=True)
class MethodSpec:
    """A distillation method. `revision`: raised by hand when its numbers change; None: the package's version stands
    for it.
    """

    name: str
    factory: type[Method]
    summary: str
    paper: str
    parameters: tuple[Parameter, ...]
    revision: int | None = None

    @classmethod
    def of(cls, method: type[Method], revision: int | None = None) -> MethodSpec:
        """The spec of a Method subclass, read from its class attributes and docstring."""
        from kdharness.api.method import Method as Base

        name = check_name(getattr(method, "name", None), "method")
        doc = (method.__doc__ or "").strip().splitlines()
        return cls(name, method, doc[0] if doc else "", method.paper, class_parameters(method, Base), revision)


@dataclass(frozen=True)
class ModelSpec:
    """A model family member: a factory `(num_classes, input_shape=(C, H, W)) -> nn.Module` and the names of its parts.

    stages: module paths, shallow to deep, whose outputs [N, C, H, W] are the stage features.
    pre_activations: module paths (one per stage) whose *inputs* are the features before the stage's last activation.
    norms: module paths (one per stage) of the last BatchNorm before that activation (OFD's margins).
    classifier: module path of the last linear layer; its input is the embedding [N, D].
    What is left out makes methods that need it be skipped.
    """

    name: str
    factory: Callable[..., nn.Module]
    summary: str = ""
    stages: tuple[str, ...] = ()
    pre_activations: tuple[str, ...] = ()
    norms: tuple[str, ...] = ()
    classifier: str = ""
    paper: str = ""
    revision: int | None = None

    def __post_init__(self) -> None:
        check_name(self.name, "model")


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
