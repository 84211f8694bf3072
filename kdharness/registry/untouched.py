"""Whether the code of plugins, while it is loaded or asked for its records, changes what cells of others will run."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import FunctionType, ModuleType
from typing import Any

from kdharness.registry.shared_code import PACKAGES, SharedCode, all_shared_code


class SharedStateChanged(Exception):
    """A plugin changed functions or switches that all cells of a process share. They were put back."""


class Untouched:
    """Torch's functions and switches as they were when torch was loaded, or when this was made if it was by then.

    A plugin may be the first to load torch: its functions are noted before the plugin's code goes on.
    """

    def __init__(self) -> None:
        self._code: SharedCode | None = None
        self._flags: Sequence[tuple[str, Callable[[], Any], Callable[[Any], object]]] = ()
        self._values: list[Any] = []
        self._modules: frozenset[str] = frozenset()
        if "torch" in sys.modules:
            self._note()
        else:
            sys.meta_path.insert(0, _Torch(self._note))

    def begin(self) -> None:
        """Functions, switches and hooks are from here on what they are now: until plugins are loaded they are the
        program's, which may have stand-ins of its own.
        """
        if self._code is not None:
            self._note()

    def check(self, module: str) -> None:
        """SharedStateChanged for what was changed since the last time. module: the plugin's."""
        changed = [
            *self._switched(),
            *([] if self._code is None else self._code.put_back()),
            *_planted(module, self._modules),
        ]
        if changed:
            what = f"it changed {changed[0]} while it was loaded"
            raise SharedStateChanged(f"{what}, which the cells of all methods share")

    def _note(self) -> None:
        from kdharness.registry.backend_flags import FLAGS  # here, for it loads torch

        self._code = all_shared_code()
        self._modules = frozenset(sys.modules)
        self._flags = FLAGS
        self._values = [read() for _, read, _ in FLAGS]

    def _switched(self) -> Iterator[str]:
        for (name, read, put), value in zip(self._flags, self._values, strict=True):
            if read() != value:
                put(value)
                yield name


def _planted(plugin: str, known: Collection[str]) -> Iterator[str]:
    """Functions and classes of the plugin's own in modules of the harness, which a plugin may be the first to load.

    Such a module is loaded again. known: those whose own functions were noted before; from them, new names are taken.
    """
    own = plugin.partition(".")[0]
    if own in PACKAGES:
        return
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] not in PACKAGES or not isinstance(module, ModuleType):
            continue
        found = [attribute for attribute, value in list(vars(module).items()) if _is_of(value, own)]
        for attribute in found:
            delattr(module, attribute)
        if found and name not in known:
            importlib.reload(module)
        yield from (f"{name}.{attribute}" for attribute in found)


def _is_of(value: object, package: str) -> bool:
    return isinstance(value, FunctionType | type) and str(value.__module__).partition(".")[0] == package


class _Torch(MetaPathFinder):
    """Finds torch as others do, and has it noted once it is loaded."""

    def __init__(self, note: Callable[[], None]) -> None:
        self._note = note

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != "torch":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return spec
        load = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            load(module)
            self._note()

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


untouched = Untouched()
