"""Whether the code of plugins, while it is loaded or asked for its records, changes what cells of others will run."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import FunctionType, ModuleType
from typing import Any

from kdharness.process.shared_code import PACKAGES, SharedCode, all_shared_code

_PLANTS = (FunctionType, type)


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
        self._loaded: frozenset[str] = frozenset()
        if "torch" in sys.modules:
            self._note()
        else:
            sys.meta_path.insert(0, _Torch(self._note))

    def begin(self) -> None:
        """Functions, switches and hooks are from here on what they are now: until plugins are loaded, or asked, they
        are the program's, which may have stand-ins of its own.
        """
        if self._code is None:
            return
        if self._loaded == _loaded() and self._code.stands:
            self._values = [read() for _, read, _ in self._flags]
        else:
            self._note()

    def check(self, module: str) -> None:
        """SharedStateChanged for what was changed since the last time. module: the plugin's."""
        changed = [
            *self._switched(),
            *([] if self._code is None else self._code.put_back()),
            *_planted(module),
        ]
        if changed:
            what = f"it changed {changed[0]} while it was loaded"
            raise SharedStateChanged(f"{what}, which the cells of all methods share")

    def _note(self) -> None:
        from kdharness.process.backend_flags import FLAGS  # here, for it loads torch

        self._code, self._loaded = all_shared_code(), _loaded()
        self._flags = FLAGS
        self._values = [read() for _, read, _ in FLAGS]

    def _switched(self) -> Iterator[str]:
        for (name, read, put), value in zip(self._flags, self._values, strict=True):
            if read() != value:
                put(value)
                yield name


def _loaded() -> frozenset[str]:
    """Modules of the harness that are there."""
    return frozenset(name for name in list(sys.modules) if name.partition(".")[0] in PACKAGES)


def _planted(plugin: str) -> Iterator[str]:
    """Functions and classes of the plugin's own in modules of the harness, which a plugin may be the first to load.

    What stood there is read from the module's source again; nothing else of the module is made anew, for others hold
    its classes.
    """
    own = plugin.partition(".")[0]
    if own in PACKAGES or own in sys.stdlib_module_names:
        return
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] not in PACKAGES or not isinstance(module, ModuleType):
            continue
        found = [attribute for attribute, value in list(vars(module).items()) if _is_of(value, own)]
        if found:
            _put_originals(module, found)
        yield from (f"{name}.{attribute}" for attribute in found)


def _put_originals(module: ModuleType, names: Sequence[str]) -> None:
    """What the source of a module has under these names, in their place; what it has not is taken out."""
    fresh: dict[str, Any] = {}
    if module.__spec__ is not None and module.__spec__.loader is not None:
        again = importlib.util.module_from_spec(module.__spec__)
        module.__spec__.loader.exec_module(again)
        fresh = vars(again)
    for name in names:
        delattr(module, name)
        if name in fresh:
            setattr(module, name, _at_home(fresh[name], module))


def _at_home(value: Any, module: ModuleType) -> Any:
    """A function that sees the names of this module; anything else as it is."""
    if not isinstance(value, FunctionType) or value.__module__ != module.__name__:
        return value
    found = FunctionType(value.__code__, vars(module), value.__name__, value.__defaults__, value.__closure__)
    found.__kwdefaults__, found.__doc__, found.__module__ = value.__kwdefaults__, value.__doc__, value.__module__
    return found


def _is_of(value: object, package: str) -> bool:
    return isinstance(value, _PLANTS) and str(value.__module__).partition(".")[0] == package


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
