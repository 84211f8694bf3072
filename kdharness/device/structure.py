"""What a network consists of beside numbers: modules, their classes, their hooks and plain attributes."""

from __future__ import annotations

import dis
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from functools import cache, cached_property
from operator import eq, is_
from types import FunctionType
from typing import Any

from torch import nn

# Values of these kinds are compared as such, all others by which object they are.
_PLAIN = (bool, int, float, complex, str, bytes, tuple, type(None))

# What torch itself writes: a mode, which others look at, and what the first of a kind of hook leaves behind.
_TORCHS = frozenset({"training", "_is_full_backward_hook"})
_TABLES = ("_modules", "_parameters", "_buffers")

# Packages whose layers write nothing into themselves while they run, or put it back.
_STEADY = ("torch.nn.", "kdharness.")


class Structure:
    """A network's modules as they are now: a hook, a plain attribute or a module more or less is another structure.

    What the network's own code assigns outside of `__init__` (a cache, a counter) is its own affair.
    """

    def __init__(self, network: nn.Module) -> None:
        kinds: set[type] = {type(module) for module in network.modules()}
        own = _TORCHS.union(*(_assigned(kind) for kind in kinds))
        self._parts = [(path, _Part(module, own)) for path, module in network.named_modules()]

    @property
    def stands(self) -> bool:
        """Whether all of it is what it was."""
        return not self.changed

    @property
    def changed(self) -> str:
        """The path of what is not what it was, '' where there is none."""
        found = ((path, part.changed()) for path, part in self._parts)
        return next((f"{path}.{name}".removeprefix(".") for path, name in found if name), "")

    def put_back(self) -> None:
        """All of it is what it was."""
        for _, part in self._parts:
            if part.changed():
                part.put_back()


class _Part:
    """One module. own: names of attributes that do not count."""

    def __init__(self, module: nn.Module, own: frozenset[str]) -> None:
        self.module = module
        self.kind = type(module)
        self.own = own
        tables = {name: value for name, value in vars(module).items() if _is_table(name, value)}
        kept = {name: value for name, value in vars(module).items() if name not in tables and name not in own}
        self.values = list(kept.items())
        self.tables = [(name, table, list(table.items())) for name, table in tables.items()]
        self.names = {*kept, *tables, *own}
        self.last = list(vars(module)), list(vars(module).values())
        self.empty = [table for _, table, items in self.tables if not items]
        self.full = [(table, items) for _, table, items in self.tables if items]
        tensors = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
        self.tensors = [(tensor, tensor.requires_grad) for tensor in tensors]

    def changed(self) -> str:
        """The name of an attribute that is not what it was, '' where there is none."""
        now = vars(self.module)
        if type(self.module) is not self.kind:
            return "__class__"
        if self._is_untouched(now):
            return self._unfrozen()
        if not self.names.issuperset(now):
            return str(next(name for name in now if name not in self.names))
        for name, value in self.values:
            if not _same(now.get(name, self), value):
                return name
        for name, table, items in self.tables:
            if now.get(name) is not table or not _holds(now[name], items):
                return name
        return self._unfrozen()

    def _is_untouched(self, now: Mapping[str, Any]) -> bool:
        """Whether every attribute is the object that it was, and no table has other contents. Says no in doubt, but
        takes a quarter of the time of a closer look.
        """
        names, values = self.last
        if len(now) != len(names) or not all(map(is_, now.values(), values)) or not all(map(eq, now, names)):
            return False
        return not any(self.empty) and all(_holds(table, items) for table, items in self.full)

    def _unfrozen(self) -> str:
        return "requires_grad" if any(t.requires_grad is not wanted for t, wanted in self.tensors) else ""

    def put_back(self) -> None:
        self.module.__class__ = self.kind
        now = vars(self.module)
        for name in set(now) - self.names:
            del now[name]
        now.update(self.values)
        for name, table, items in self.tables:
            table.clear()
            table.update(items)
            now[name] = table
        for tensor, wanted in self.tensors:
            tensor.requires_grad_(wanted)


def _is_table(name: str, value: object) -> bool:
    """Whether an attribute holds hooks, parts or tensors by name."""
    return (name in _TABLES or name.endswith("_hooks")) and isinstance(value, MutableMapping)


def _same(value: object, known: object) -> bool:
    return value is known or (type(value) is type(known) and isinstance(known, _PLAIN) and value == known)


def _holds(table: MutableMapping[Any, Any], items: list[tuple[Any, Any]]) -> bool:
    if len(table) != len(items):
        return False
    return all(name == was and value is known for (name, value), (was, known) in zip(table.items(), items, strict=True))


@cache
def _assigned(kind: type) -> frozenset[str]:
    """The names of attributes that a class's own code assigns to some object outside of `__init__`."""
    classes = [base for base in kind.__mro__ if not base.__module__.startswith(_STEADY)]
    lazy = [name for c in classes for name, value in vars(c).items() if isinstance(value, cached_property)]
    functions = [f for c in classes for name, f in _functions(c) if name != "__init__"]
    return frozenset(lazy).union(*(_stored(function.__code__) for function in functions))


def _functions(owner: type) -> Iterator[tuple[str, FunctionType]]:
    for name, value in vars(owner).items():
        inner = (getattr(value, attribute, None) for attribute in ("fget", "__func__", "func"))
        plain = next((function for function in inner if function is not None), value)
        plain = getattr(plain, "__wrapped__", plain)
        if isinstance(plain, FunctionType):
            yield name, plain


def _stored(code: Any) -> Iterable[str]:
    """With those of functions within."""
    found = {i.argval for i in dis.get_instructions(code) if i.opname == "STORE_ATTR"}
    inner = [constant for constant in code.co_consts if hasattr(constant, "co_code")]
    return found.union(*(_stored(one) for one in inner))
