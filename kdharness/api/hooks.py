"""The marker for plugin hooks, and a helper for packages that keep one plugin per file."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pluggy

from kdharness.api.versions import check_file, check_stated

hookimpl = pluggy.HookimplMarker("kdharness")


class ModuleFailed(Exception):
    """A module of a package of plugins did not load, or its hook raised, which is the cause."""


class ModuleSpecs(Iterator[Any]):
    """The records of a package's modules, one after the other. file: of the module that the last one came from."""

    def __init__(self, package: str, hook: str) -> None:
        self.file = ""
        self._records = self._each(package, hook)

    def __next__(self) -> Any:
        return next(self._records)

    def _each(self, package: str, hook: str) -> Iterator[Any]:
        failed = []
        folder = importlib.import_module(package).__path__
        for found in sorted(pkgutil.iter_modules(folder), key=lambda m: m.name):
            try:
                loaded = _loaded(f"{package}.{found.name}")
                function = getattr(loaded, hook, None)
                records = [] if function is None else list(function())
            except BaseException as error:  # noqa: BLE001 - it may raise anything; its caller looks for Ctrl-C in it
                failure = ModuleFailed(f"{found.name}.py")
                failure.__cause__ = error
                failed.append(failure)
            else:
                self.file = loaded.__file__ or ""
                yield from records
        if failed:
            raise ExceptionGroup(f"{len(failed)} modules of {package} failed", failed)


def module_specs(package: str, hook: str) -> Iterator[Any]:
    """The records that each module of `package` returns from its own `hook`, modules in name order.

    With it a package needs one hook in its `__init__`, and a new plugin is a new file. A module that fails does not
    keep the others from being asked; what failed is raised in the end, as an ExceptionGroup of ModuleFailed.
    """
    return ModuleSpecs(package, hook)


def _loaded(module: str) -> ModuleType:
    """The module. NewerApi for one that wants a newer kdharness."""
    try:
        loaded = importlib.import_module(module)
    except Exception:
        spec = importlib.util.find_spec(module)
        check_file(spec.origin if spec is not None else None)
        raise
    check_stated(loaded)
    return loaded
