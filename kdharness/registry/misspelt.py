"""Names in a method's class that are almost, and not quite, those that the harness calls or reads."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from types import CodeType, FunctionType
from typing import Any

from kdharness.errors import nearest

# Below it two names have too little in common for one to be meant as the other.
ALIKE = 0.8


def misspelt(method: type, base: type) -> list[tuple[str, str]]:
    """(name, the one that is meant) of what the class defines, nobody of its module uses, and `base` nearly has."""
    known = [name for name in {*vars(base), *inspect.get_annotations(base)} if not name.startswith("_")]
    found = []
    for owner in _own_classes(method, base):
        known_here = {*known, *inspect.get_annotations(owner)}
        strange = [n for n in vars(owner) if not n.startswith("_") and n not in known_here and not hasattr(base, n)]
        near = [(name, meant) for name in strange for meant in nearest(name.lower(), known, most=1, least=ALIKE)]
        used = _used_names(owner) if near else set()
        found += [(name, meant) for name, meant in near if name not in used]
    return found


def _own_classes(method: type, base: type) -> list[type]:
    return [owner for owner in method.__mro__ if owner not in base.__mro__]


def _used_names(owner: type) -> set[str]:
    """What the code of the class and of its module's functions and classes names."""
    module = sys.modules.get(owner.__module__)
    values = [*vars(owner).values(), *(vars(module).values() if module is not None else ())]
    return {name for value in values for code in _codes(value, owner.__module__) for name in _names(code)}


def _codes(value: Any, module: str) -> Iterator[CodeType]:
    """Of a function, of what a decorator made of one, and of the functions of a class of this module."""
    if isinstance(value, type) and value.__module__ == module:
        for each in vars(value).values():
            if not isinstance(each, type):
                yield from _codes(each, module)
        return
    parts = (value.fget, value.fset) if isinstance(value, property) else (getattr(value, "__func__", value),)
    for part in parts:
        if isinstance(part, FunctionType):
            yield part.__code__


def _names(code: CodeType) -> Iterator[str]:
    """Also those of functions within it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)
        elif isinstance(constant, str):  # getattr(self, "name")
            yield constant
