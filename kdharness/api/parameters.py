"""Typed parameters of plugins: read from class attributes, coerced from text and TOML."""

from __future__ import annotations

import functools
import inspect
import math
import operator
import re
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, ClassVar

from pydantic import Field, TypeAdapter, ValidationError

# Types of parameters that have no meaning below zero, or at it: a plan with such a value is refused.
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]

# Whole numbers are kept in 64 bits with a sign, by torch and in tables.
LARGEST = 2**63 - 1

# Of a number without end a message has so many digits.
SHOWN = 40

NAME = re.compile(r"[a-z][a-z0-9_]*\Z")


def check_name(name: object, what: str) -> str:
    """`name`, if it is a valid plugin name ([a-z][a-z0-9_]*); ValueError otherwise."""
    if not isinstance(name, str) or not NAME.match(name):
        raise ValueError(f"{what} name {name!r} is not of the form [a-z][a-z0-9_]*")
    return name


@dataclass(frozen=True)
class Neutral:
    """The value at which a field that was added after its first release changes no numbers.

    It stands in the field's type: `hint: Annotated[float, Neutral(0.0)] = 0.0`. With this value the field is left out
    of cells' keys, so that those of earlier releases stay as they are.

    value: as the field has it.
    """

    value: Any


@dataclass(frozen=True)
class Parameter:
    """One typed parameter.

    name: as --set and TOML call it.
    type: what values from the command line and from TOML are coerced to.
    default: of the class attribute.
    """

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
            found = self._adapter.validate_python(value)
        except ValidationError as error:
            raise ValueError(f"{value!r} is not a valid {self.type_name}: {error.errors()[0]['msg']}") from None
        if not _is_kept(found):
            raise ValueError(f"{str(value)[:SHOWN]!r} is not a valid {self.type_name}: at most {LARGEST} (63 bits)")
        return found

    def canonical(self, value: Any) -> Any:
        """`value` as JSON holds it: tuples as lists, enums as values, infinity as "inf". ValueError for nan."""
        return _as_json(self._adapter.dump_python(self.coerce(value), mode="json"))

    @property
    def neutral(self) -> Neutral | None:
        """The value with which it is left out of keys, where its type says one."""
        marks = typing.get_args(self.type)[1:] if typing.get_origin(self.type) is typing.Annotated else ()
        return next((mark for mark in marks if isinstance(mark, Neutral)), None)

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


def _is_kept(value: Any) -> bool:
    """Whether no whole number in it is too large."""
    if isinstance(value, Mapping):
        return all(map(_is_kept, value.values()))
    if isinstance(value, list | tuple | set | frozenset):
        return all(map(_is_kept, value))
    return not isinstance(value, int) or abs(value) <= LARGEST


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
        hints = _hints(base)  # type: ignore[arg-type]  # taken for the hash of its instances
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


@functools.cache
def _hints(owner: type) -> dict[str, Any]:
    """The types of its annotations, and of its bases'. Read once: a registry is often made anew."""
    return typing.get_type_hints(owner, include_extras=True)
