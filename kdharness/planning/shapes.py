"""Whether what was read from a file has the types that its dataclass declares: JSON says nothing of them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

# Whole numbers beyond it fit no column of a table.
LARGEST = 2**63 - 1
_KINDS: dict[type[Any], tuple[tuple[str, Any], ...]] = {}


def check_fields(instance: Any) -> None:
    """ValueError that names the first field whose value is of another type than declared. Looks into lists, mappings
    and further dataclasses; what is declared as Any may be anything that JSON has, within its bounds.
    """
    for name, kind in _declared(type(instance)):
        if not _fits(getattr(instance, name), kind):
            raise ValueError(f"'{name}' is not what it should be")


def _declared(cls: type[Any]) -> tuple[tuple[str, Any], ...]:
    """Names and types of a dataclass's fields, found once."""
    if cls not in _KINDS:
        hints = get_type_hints(cls)
        _KINDS[cls] = tuple((name, hints[name]) for name in cls.__dataclass_fields__)
    return _KINDS[cls]


def _fits(value: object, kind: Any) -> bool:
    if kind is Any:
        return is_bounded(value)
    if kind is str:
        return isinstance(value, str)
    if kind is int:
        return type(value) is int and abs(value) <= LARGEST
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and is_bounded(value)
    if kind is NoneType:
        return value is None
    if dataclasses.is_dataclass(kind):
        return type(value) is kind and _checked(value)
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return any(_fits(value, each) for each in inner)
    if origin is Mapping:
        return isinstance(value, Mapping) and all(isinstance(k, str) and _fits(v, inner[1]) for k, v in value.items())
    if origin is None:
        return isinstance(value, kind)
    # A list in JSON, of equal things.
    return isinstance(value, list | tuple) and all(_fits(each, inner[0]) for each in value)


def _checked(value: object) -> bool:
    check_fields(value)
    return True


def is_bounded(value: object) -> bool:
    """Whether all numbers in it are finite and fit 64 bits."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, int):
        return abs(value) <= LARGEST
    if isinstance(value, Mapping):
        return all(is_bounded(each) for each in value.values())
    return all(is_bounded(each) for each in value) if isinstance(value, list | tuple) else True
