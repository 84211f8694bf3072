"""The kinds of things that plugins add, and what their hooks must return."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from kdharness.api.declarations import ModelSpec
from kdharness.api.leaderboard import LeaderboardColumn
from kdharness.api.parameters import Parameter, check_name
from kdharness.api.specs import DatasetSpec, ExecutorSpec, LoggerSpec, MethodSpec, MetricSpec, OptimizerSpec, ViewSpec


@dataclass(frozen=True)
class Kind:
    """name: "method"; spec: its record's type; defined_by: the record's field with the class or function behind it."""

    name: str
    spec: type
    defined_by: str

    @property
    def plural(self) -> str:
        return f"{self.name}s"

    @property
    def hook(self) -> str:
        return f"kdharness_{self.plural}"


KINDS = {
    kind.name: kind
    for kind in (
        Kind("method", MethodSpec, "factory"),
        Kind("model", ModelSpec, "factory"),
        Kind("dataset", DatasetSpec, "load"),
        Kind("view", ViewSpec, "apply"),
        Kind("metric", MetricSpec, "function"),
        Kind("optimizer", OptimizerSpec, "factory"),
        Kind("leaderboard_column", LeaderboardColumn, "function"),
        Kind("executor", ExecutorSpec, "factory"),
        Kind("logger", LoggerSpec, "factory"),
    )
}


def kind_of(spec: Any) -> Kind:
    """The kind of a spec record."""
    return next(kind for kind in KINDS.values() if isinstance(spec, kind.spec))


def checked_specs(kind: Kind, returned: Any) -> Iterator[Any]:
    """The records in what a hook returned, each checked. TypeError or ValueError, in one line, in place of one that is
    something else; what a generator raises comes after the records that it gave before.
    """
    if isinstance(returned, kind.spec):
        raise TypeError(f"must return a list of {kind.spec.__name__}, not a single one")
    if not isinstance(returned, Iterable) or isinstance(returned, str | bytes | dict):
        raise TypeError(f"must return a list of {kind.spec.__name__}, got {_type_name(returned)}")
    for position, spec in enumerate(returned):
        _check(kind, spec, position)
        yield spec


def _check(kind: Kind, spec: Any, position: int) -> None:
    if not isinstance(spec, kind.spec):
        raise TypeError(f"must return a list of {kind.spec.__name__}, but item {position} is {_type_name(spec)}")
    record: Any = spec
    check_name(record.name, kind.name)
    demands: dict[str, tuple[Callable[[Any], bool], str]] = {
        kind.defined_by: (callable, "callable"),
        "draws": (callable, "callable"),
        "summary": (lambda value: isinstance(value, str), "a text"),
        "paper": (lambda value: isinstance(value, str), "a text"),
        "revision": (lambda value: value is None or isinstance(value, int), "an integer or None"),
        "parameters": (lambda value: all(isinstance(p, Parameter) for p in value), "a tuple of Parameter"),
    }
    for name, (holds, wanted) in demands.items():
        if hasattr(record, name) and not holds(getattr(record, name)):
            raise TypeError(
                f"{kind.name} '{record.name}': {name} must be {wanted}, got {_type_name(getattr(record, name))}"
            )
    unproved: object = getattr(getattr(record, "factory", None), "unproved", "")
    if not isinstance(unproved, str):
        raise TypeError(f"{kind.name} '{record.name}': unproved must be a text, got {_type_name(unproved)}")
    _check_parameters(kind, record)


def _check_parameters(kind: Kind, record: Any) -> None:
    """ValueError for two parameters of one name."""
    names = [parameter.name for parameter in getattr(record, "parameters", ())]
    for parameter in getattr(record, "parameters", ()):
        if names.count(parameter.name) > 1:
            raise ValueError(f"{kind.name} '{record.name}' has two parameters '{parameter.name}'")


def _type_name(value: Any) -> str:
    return "None" if value is None else f"a {type(value).__name__}"


def definition(kind: Kind, spec: Any) -> Any:
    """The class or function that defines a spec, without partial arguments and decorators."""
    found = getattr(spec, kind.defined_by)
    while isinstance(found, functools.partial):
        found = found.func
    return inspect.unwrap(found)


def same_definition(kind: Kind, one: Any, other: Any) -> bool:
    """Whether two specs of one name are the same thing, registered twice."""
    first, second = getattr(one, kind.defined_by), getattr(other, kind.defined_by)
    if isinstance(first, functools.partial) and isinstance(second, functools.partial):
        return bool((first.func, first.args, first.keywords) == (second.func, second.args, second.keywords))
    return first is second
