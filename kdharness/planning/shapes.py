"""Whether what was read from a file has the types that its dataclass declares: JSON says nothing of them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

# Whole numbers beyond it fit no column of a table.
LARGEST = 2**63 - 1

# Of a field whose numbers nobody reads: that it is an object is enough. There are millions of them in a large folder.
UNREAD = {"unread": True}

Check = Callable[[Any], bool]

_CHECKS: dict[Any, Check] = {}
_FIELDS: dict[type[Any], tuple[tuple[str, Check], ...]] = {}


def check_fields(instance: Any) -> None:
    """ValueError that names the first field whose value is of another type than declared. Looks into lists, mappings
    and further dataclasses; what is declared as Any may be anything that JSON has, within its bounds.
    """
    for name, fits in _fields(type(instance)):
        if not fits(getattr(instance, name)):
            raise ValueError(f"'{name}' is not what it should be")


def is_bounded(value: object) -> bool:
    """Whether all numbers in it are finite and fit 64 bits."""
    if isinstance(value, str) or value is None:
        return True
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, int):
        return abs(value) <= LARGEST
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return all(map(is_bounded, inner))


def _fields(cls: type[Any]) -> tuple[tuple[str, Check], ...]:
    """The check of each of a dataclass's fields, made once: thousands of records have the same."""
    if cls not in _FIELDS:
        hints, declared = get_type_hints(cls), dataclasses.fields(cls)
        _FIELDS[cls] = tuple(
            (each.name, _is_object if each.metadata == UNREAD else _check_of(hints[each.name])) for each in declared
        )
    return _FIELDS[cls]


def _check_of(kind: Any) -> Check:
    if kind not in _CHECKS:
        _CHECKS[kind] = _made(kind)
    return _CHECKS[kind]


def _made(kind: Any) -> Check:
    simple: dict[Any, Check] = {Any: is_bounded, str: _is_text, int: _is_whole, float: _is_number, NoneType: _is_none}
    if kind in simple:
        return simple[kind]
    if dataclasses.is_dataclass(kind):
        return lambda value: type(value) is kind and _is_sound(value)
    origin, checks = get_origin(kind), [_check_of(inner) for inner in get_args(kind) if inner is not Ellipsis]
    if origin in (Union, UnionType):
        return lambda value: any(fits(value) for fits in checks)
    if origin is Mapping:
        return lambda value: _is_object(value) and all(map(checks[1], value.values()))
    if origin is None:
        return lambda value: isinstance(value, kind)
    # A list in JSON, of equal things.
    return lambda value: isinstance(value, list | tuple) and all(map(checks[0], value))


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_whole(value: object) -> bool:
    return type(value) is int and abs(value) <= LARGEST


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and is_bounded(value)


def _is_none(value: object) -> bool:
    return value is None


def _is_object(value: object) -> bool:
    """JSON has no other names than texts."""
    return isinstance(value, dict)


def _is_sound(value: object) -> bool:
    check_fields(value)
    return True
